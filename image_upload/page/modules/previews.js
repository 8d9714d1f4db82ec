// Small pictures, drawn once their place is in view.
import { element } from "./elements.js";
import { decoded } from "./thumbhash.js";

const PREVIEW_MAX_BYTES = 64 * 2 ** 20;
export const PICTURES = /^image\/(jpeg|png|webp|avif|gif|bmp)$/;

// At most four at a time, the latest asked for first: what is in view now.
const waiting = [];
let running = 0;

function inTurn(work) {
  waiting.push(work);
  const next = () => {
    if (running === 4 || !waiting.length) return;
    running++;
    waiting.pop()().catch(() => {}).finally(() => (running--, next()));
  };
  next();
}

const whenSeen = new WeakMap();
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    inTurn(whenSeen.get(target));
  }
}, { rootMargin: "200px" });

export function once(target, work) {
  whenSeen.set(target, work);
  seen.observe(target);
}

function draw(place, { width, height }, onto) {
  const canvas = element("canvas", { width, height });
  onto(canvas.getContext("2d"));
  place.replaceChildren(canvas);
}

export async function drawPreview(place, file) {
  if (!PICTURES.test(file.type) || file.size > PREVIEW_MAX_BYTES) return;
  const bitmap = await createImageBitmap(file);
  const width = Math.min(bitmap.width, 400);
  const height = Math.max(1, Math.round((bitmap.height * width) / bitmap.width));
  draw(place, { width, height }, (context) => context.drawImage(bitmap, 0, 0, width, height));
  bitmap.close();
}

// Draws a ThumbHash, for as long as the picture is on its way.
export function drawHash(place, hash) {
  const found = decoded(hash);
  draw(place, found, (context) => context.putImageData(new ImageData(found.data, found.width), 0, 0));
}
