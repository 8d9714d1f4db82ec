// The files that are stored, newest first.
import { $, button, element, focusBeside, icon, iconButton, iconOf, quiet, relabel } from "./elements.js";
import { notice, toast } from "./notices.js";
import { PICTURES, drawHash, drawPreview, once } from "./previews.js";
import { call, inPath, maySeeFiles, urlOf } from "./session.js";
import { bytes, day, duration, moment, text, why } from "./texts.js";

const THUMBNAIL_MAX_BYTES = 4 * 2 ** 20; // a larger picture is not loaded for its thumbnail
const TILES = 24;
const LISTED_AT_ONCE = 1000;
const LISTS_AT_ONCE = 5;
const LINK_SECONDS = 24 * 60 * 60;

let stored = [];
let nextToken = null;
let shown = TILES;
const tiles = new Map();

export function forget() {
  stored = [];
  drawTiles();
}

// Lists all anew, or goes on from a token.
export async function list(from = null) {
  if (from === null) stored = [];
  $("stored").ariaBusy = "true";
  notice("list-failed");
  try {
    for (let pages = 0; pages < LISTS_AT_ONCE; pages++) {
      const page = from ? `&continuation_token=${encodeURIComponent(from)}` : "";
      const answer = await call("GET", `/api/v1/s3/files?max_keys=${LISTED_AT_ONCE}${page}`);
      const known = new Set(stored.map((each) => each.key));
      stored.push(...answer.files.filter((each) => !known.has(each.key)));
      from = nextToken = answer.next_token;
      if (from === null) break;
    }
    stored.sort((a, b) => Date.parse(b.last_modified) - Date.parse(a.last_modified));
    $("stored").hidden = false;
  } catch (problem) {
    $("stored").hidden = problem.status === 403 || !stored.length;
    if (problem.status !== 401 && problem.status !== 403) {
      const again = button(text("retry"), () => list(from));
      notice("list-failed", { title: text("list_failed"), body: [quiet(why(problem)), again], bad: true });
    }
  } finally {
    $("stored").ariaBusy = "false";
    drawTiles();
  }
}

function drawTiles() {
  const wanted = stored.slice(0, shown);
  const keys = new Set(wanted.map((each) => each.key));
  for (const [key, tile] of tiles) {
    if (keys.has(key)) continue;
    tile.remove();
    tiles.delete(key);
  }
  wanted.forEach((file, index) => {
    if (!tiles.has(file.key)) tiles.set(file.key, tileOf(file));
    const tile = tiles.get(file.key);
    if ($("tiles").children[index] !== tile) $("tiles").insertBefore(tile, $("tiles").children[index] ?? null);
  });
  $("empty").hidden = stored.length > 0;
  document.querySelector("#empty p").textContent = text(maySeeFiles() ? "empty" : "files_need_sign_in");
  $("more").hidden = stored.length <= shown && nextToken === null;
  $("stored-count").textContent = stored.length ? text(nextToken ? "partial" : "files", { count: stored.length }) : "";
}

// Puts an upload of this visit in front, with what is known of it without a question to the service.
export function arrived({ result, name, type, file }) {
  stored = stored.filter((each) => each.key !== result.key);
  tiles.get(result.key)?.remove();
  tiles.delete(result.key);
  stored.unshift({ key: result.key, size: result.size, last_modified: new Date().toISOString(), name, type: result.contentType ?? type, file });
  if (!maySeeFiles()) return;
  $("stored").hidden = false;
  drawTiles();
}

function tileOf(file) {
  const picture = element("button", { type: "button", className: "picture", onclick: () => view(file) });
  const title = element("p", { className: "name" });
  const when = new Date(file.last_modified);
  const facts = quiet(`${bytes(file.size)} · ${day.format(when)}`);
  facts.title = moment.format(when);
  const copy = iconButton("link", "", () => copyLink(file.key, file.cdn));
  const download = iconButton("download", "", () => save(file));
  const remove = iconButton("trash", "", () => removeFile(file, tile));
  const tile = element("li", { className: "tile" }, picture, element("div", { className: "about" }, title, facts), element("div", { className: "tools" }, copy, download, remove));

  function draw() {
    const name = (file.name ??= file.key.split("/").at(-1));
    title.textContent = title.title = name;
    relabel(copy, "link", text("copy", { name }));
    relabel(download, "download", text("download", { name }));
    relabel(remove, "trash", text("delete_file", { name }));
    relabel(picture, iconOf(file.type), text("show", { name }));
    picture.disabled = iconOf(file.type) === "file";
  }

  draw();
  once(tile, async () => {
    if (file.file) return drawPreview(picture, file.file);
    const known = await call("GET", `/api/v1/s3/file/${inPath(file.key)}/metadata`);
    file.name = known.metadata.original_filename || file.name;
    file.type = known.facts?.type ?? known.content_type;
    file.cdn = known.cdn_url;
    draw();
    if (!PICTURES.test(file.type)) return;
    if (known.facts?.placeholder) drawHash(picture, known.facts.placeholder);
    const [variant] = Object.keys(known.variants);
    if (!variant && file.size > THUMBNAIL_MAX_BYTES) return;
    const onCdn = variant ? known.variants[variant] : file.cdn;
    const src = onCdn ?? (await urlOf(known.variant_keys[variant] ?? file.key));
    const image = element("img", { alt: "", decoding: "async", src });
    await image.decode();
    picture.replaceChildren(image);
  });
  return tile;
}

async function save(file) {
  try {
    const url = await urlOf(file.key, `?as_download=true&filename=${encodeURIComponent(file.name)}`);
    element("a", { href: url, rel: "noreferrer", download: file.name }).click();
  } catch (problem) {
    toast(why(problem));
  }
}

export async function copyLink(key, cdn) {
  try {
    // The promise is passed on as it is: Safari allows copying only in the task of the click.
    const made = cdn ? Promise.resolve({ url: cdn }) : call("GET", `/api/v1/s3/file/${inPath(key)}/url?expires_in=${LINK_SECONDS}`);
    const link = made.then(({ url }) => new Blob([url], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": link })]);
    const { expires_in } = await made;
    toast(expires_in ? text("copied", { time: duration(expires_in) }) : text("copied_for_ever"));
  } catch (problem) {
    toast(problem.code ? why(problem) : text("not_copied"));
  }
}

function removeFile(file, tile) {
  const { name } = file;
  $("ask-title").textContent = text("ask_delete", { name });
  $("ask-text").textContent = text("ask_delete_why");
  const [no, yes] = document.querySelectorAll("#ask button");
  no.onclick = () => $("ask").close();
  yes.onclick = async () => {
    $("ask").close();
    try {
      await call("DELETE", `/images/${inPath(file.key)}`);
      focusBeside(tile, $("stored-title"));
      stored = stored.filter((each) => each !== file);
      drawTiles();
      toast(text("deleted", { name }));
    } catch (problem) {
      toast(why(problem));
    }
  };
  $("ask").showModal();
}

async function view(file) {
  const kind = { image: "img", audio: "audio", video: "video" }[iconOf(file.type)];
  try {
    const src = file.cdn ?? (await urlOf(file.key));
    $("viewer-title").textContent = file.name;
    $("viewed").replaceChildren(element(kind, { src, ...(kind === "img" ? { alt: file.name } : { controls: true, ariaLabel: file.name }) }));
    $("viewer").showModal();
  } catch (problem) {
    toast(why(problem));
  }
}

$("more").addEventListener("click", async () => {
  const first = shown;
  shown += TILES;
  if (shown > stored.length && nextToken) await list(nextToken);
  else drawTiles();
  $("tiles").children[first]?.querySelector("button:not([disabled])")?.focus();
});
document.querySelector("#viewer button").addEventListener("click", () => $("viewer").close());
$("viewer").addEventListener("close", () => $("viewed").replaceChildren());
$("viewer").addEventListener("click", (event) => event.target === $("viewer") && $("viewer").close());
