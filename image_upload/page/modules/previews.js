// Small pictures, drawn once their place is in view.
import { element } from "./elements.js";

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

export async function drawPreview(place, file) {
  if (!PICTURES.test(file.type) || file.size > PREVIEW_MAX_BYTES) return;
  const bitmap = await createImageBitmap(file);
  const width = Math.min(bitmap.width, 400);
  const canvas = element("canvas", { width, height: Math.max(1, Math.round((bitmap.height * width) / bitmap.width)) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  place.replaceChildren(canvas);
}
