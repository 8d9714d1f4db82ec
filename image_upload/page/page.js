// The upload page: the uploads of this visit over the client module, and the files that are stored.
// Texts and settings come with the HTML.
import { uploads } from "../../client.js";

const THUMBNAIL_MAX_BYTES = 4 * 2 ** 20; // a larger picture is not loaded for its thumbnail
const PREVIEW_MAX_BYTES = 64 * 2 ** 20;
const PICTURES = /^image\/(jpeg|png|webp|avif|gif|bmp)$/;
const TILES = 24;
const LISTED_AT_ONCE = 1000;
const LISTS_AT_ONCE = 5;
const LINK_SECONDS = 24 * 60 * 60;
const OVER = new Set(["stored", "failed", "cancelled"]);

const setup = JSON.parse(document.getElementById("setup").textContent);
const { language } = setup;
const base = new URL("../..", import.meta.url).href.replace(/\/$/, "");
const $ = (id) => document.getElementById(id);

// --- Texts ---------------------------------------------------------------------------------------

const plural = new Intl.PluralRules(language);
const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
// Dates are written as the browser's own variant of the language writes them.
const region = navigator.languages.find((each) => each.startsWith(language)) ?? language;
const day = new Intl.DateTimeFormat(region, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(region, { dateStyle: "medium", timeStyle: "short" });

function text(key, facts = {}) {
  const found = setup.texts[key];
  const template = typeof found === "string" ? found : (found[plural.select(facts.count)] ?? found.other);
  const said = (value) => (typeof value === "number" ? number.format(value) : value);
  return template.replace(/\{(\w+)\}/g, (_, name) => said(facts[name]));
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit++) count /= 1024;
  return `${number.format(count)} ${units[unit]}`;
}

function duration(seconds) {
  const [unit, length] = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]].find(([, each]) => seconds >= each) ?? ["second", 1];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 }).format(Math.max(1, seconds / length));
}

function why(problem) {
  const code = problem?.code ?? "network";
  if (setup.texts[`problem_${code}`]) return text(`problem_${code}`, { origin: location.origin });
  return problem.detail || text("problem_other", { code });
}

// --- Elements ------------------------------------------------------------------------------------

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

const iconOf = (type) => ["image", "audio", "video"].find((each) => type?.startsWith(`${each}/`)) ?? "file";

const button = (label, onclick, className = "button") => element("button", { type: "button", className, onclick }, label);

function iconButton(name, label, onclick) {
  return element("button", { type: "button", className: "icon", ariaLabel: label, title: label, onclick }, icon(name));
}

function relabel(made, name, label) {
  made.ariaLabel = made.title = label;
  made.replaceChildren(icon(name));
}

// Moves the focus to the neighbour of what goes away, or to the heading of its list.
function focusBeside(item, heading) {
  const last = ".tools button:last-of-type:not([hidden])";
  const next = item.nextElementSibling ?? item.previousElementSibling;
  (next?.querySelector(last) ?? heading).focus();
}

let sentences = [];

// Tells screen readers. What happens at once is said at once.
function say(sentence) {
  if (sentences.push(sentence) > 1) return;
  setTimeout(() => {
    $("live").textContent = sentences.join(" ");
    sentences = [];
  }, 100); // a live region that changes twice in one task is read once
}

let toastTimer;

function toast(sentence) {
  say(sentence);
  $("toast").textContent = sentence;
  $("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("shown"), 5000);
}

// Shows a notice in place of the one with the same id; without a title it only removes that.
function notice(id, { title, body = [], name = "alert", bad = false, dismissed } = {}) {
  $(id)?.remove();
  if (!title) return;
  const made = element("div", { id, className: `notice${bad ? " bad" : ""}` }, icon(name));
  made.append(element("div", {}, element("b", {}, title), ...body));
  if (dismissed) {
    made.append(iconButton("close", text("dismiss"), () => {
      made.remove();
      $("choose").focus();
    }));
  }
  $("notices").append(made);
  say(title);
}

const quiet = (sentence) => element("p", { className: "quiet" }, sentence);

// --- Who ---------------------------------------------------------------------------------------------

// A token stays in this tab. It is put into the tab's storage only while the page is left, so that it outlives a reload,
// and a copy of the tab has none: a refresh token works once.
const KEPT = "upload-session";
let session = null;
let renewal = null;

function kept(change) {
  try {
    return change(sessionStorage);
  } catch {
    return null; // the browser forbids it
  }
}

const taken = (name) => kept((storage) => {
  const found = storage.getItem(name);
  storage.removeItem(name);
  return found;
});

addEventListener("pagehide", () => session && kept((storage) => storage.setItem(KEPT, JSON.stringify(session))));
addEventListener("pageshow", (event) => event.persisted && taken(KEPT));

async function token() {
  if (session?.refresh && Date.now() > session.until) {
    const grant = { grant_type: "refresh_token", refresh_token: session.refresh };
    renewal ??= call("POST", "/auth/token", grant, false).then(enter).finally(() => (renewal = null));
    await renewal.catch((problem) => problem.status === 400 && leave(text("sign_in_ended")));
  }
  return session?.access ?? null;
}

function enter({ access_token, expires_in, refresh_token, user }) {
  const until = Date.now() + (expires_in - 30) * 1000;
  session = { access: access_token, until, refresh: refresh_token, id: String(user.user_id), name: user.name || user.email };
}

function subjectOf(jwt) {
  try {
    return String(JSON.parse(atob(jwt.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub);
  } catch {
    return "";
  }
}

function leave(sentence) {
  session = null;
  notice("ended", { title: sentence });
  show();
}

const base64url = (data) => btoa(String.fromCharCode(...new Uint8Array(data))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function signIn(provider) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  kept((storage) => storage.setItem("verifier", verifier));
  const challenge = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  location.assign(`${base}/auth/oauth/${provider}?code_challenge=${challenge}`);
}

// Ends a sign-in, if the address says that one led here (docs/sign-in.md).
async function comeBack() {
  const said = new URLSearchParams(location.search);
  if (!said.has("code") && !said.has("error")) return;
  history.replaceState(null, "", location.pathname);
  try {
    if (said.has("error")) throw { code: said.get("error") };
    const grant = { grant_type: "authorization_code", code: said.get("code"), code_verifier: taken("verifier") };
    enter(await call("POST", "/auth/token", grant, false));
  } catch (problem) {
    if (problem.code !== "sign-in-denied") notice("ended", { title: text("sign_in_failed", { code: problem.code }), bad: true });
  }
}

async function signOut() {
  const { refresh } = session;
  close();
  leave(text("signed_out"));
  if (refresh) await call("POST", "/auth/logout", { refresh_token: refresh }, false).catch(() => {});
}

// --- The service ---------------------------------------------------------------------------------------

// Returns the JSON of an answer. Throws its problem document, or one of the client's own codes.
async function call(method, path, body, signed = true) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const bearer = signed && (await token());
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  let response;
  try {
    response = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw { code: "network" };
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({ code: "not-the-service" }));
  if (response.ok && answer.code !== "not-the-service") return answer;
  if (response.status === 401 && bearer) leave(text("sign_in_ended"));
  throw { status: response.status, ...answer };
}

const inPath = (key) => key.split("/").map(encodeURIComponent).join("/");
const urlOf = async (key, query = "") => (await call("GET", `/api/v1/s3/file/${inPath(key)}/url${query}`)).url;

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

function once(target, work) {
  whenSeen.set(target, work);
  seen.observe(target);
}

// --- Uploads ---------------------------------------------------------------------------------------------

let queue = null;
let user = null; // whose uploads the queue has
let items = null;
let purposes = [];
let pausing = false;
let batch = { items: [], half: false, over: true };
const rows = new Map();

// Makes the queue of who is here now. That of the same user stays, with what was not sent.
function open() {
  const id = session?.id ?? "";
  if (queue && user === id) return unfinished();
  close();
  user = id;
  queue = uploads({ service: base, token, user, language });
  const stop = queue.subscribe(draw);
  queue.end = () => (stop(), queue.close());
  draw();
  unfinished();
}

function close() {
  queue?.end();
  queue = null;
  for (const row of rows.values()) {
    row.node.remove();
    row.end();
  }
  rows.clear();
  items = null;
  batch = { items: [], half: false, over: true };
  $("uploads").hidden = $("unfinished").hidden = true;
}

const chosen = () => purposes.find((each) => each.name === $("purpose").value);

function purposeChanged() {
  const purpose = chosen();
  $("purpose-text").textContent = purpose.texts[language];
  $("choose").accept = purpose.accept;
  for (const field of document.querySelectorAll("#options .needed")) field.remove();
  for (const name of purpose.metadata) {
    const input = element("input", { id: `needs-${name}`, name, autocomplete: "off", oninput: () => input.setCustomValidity("") });
    $("options").append(element("div", { className: "field needed" }, element("label", { htmlFor: input.id }, name), input));
  }
}

// Returns why a purpose does not take a file; null if it may.
function refusal(file, purpose) {
  if (!file.size) return text("refused_empty");
  if (file.size > purpose.maxBytes) return text("refused_size", { size: bytes(file.size) });
  const type = file.type.toLowerCase();
  const extension = file.name.toLowerCase().match(/\.([^.]+)$/)?.[1];
  const taken = type
    ? purpose.types.some((each) => each === "*/*" || each === type || (each.endsWith("/*") && type.startsWith(each.slice(0, -1))))
    : !purpose.extensions.length || purpose.extensions.includes(extension);
  return taken ? null : text("refused_type");
}

// Adds files of a FileList or DataTransfer, for the chosen purpose. What it does not take is said, and not sent.
function add(source) {
  const purpose = chosen();
  if (!purpose || $("add").hidden) return;
  const fields = [...document.querySelectorAll("#options .needed input")];
  const missing = fields.find((each) => !each.value.trim());
  if (missing) {
    missing.setCustomValidity(text("needs_value", { name: missing.name }));
    missing.reportValidity();
    return;
  }
  const options = { purpose: purpose.name, metadata: Object.fromEntries(fields.map((each) => [each.name, each.value.trim()])) };
  const hasFolder = [...(source.items ?? [])].some((each) => each.webkitGetAsEntry?.()?.isDirectory);
  if (hasFolder) {
    send(source, options);
  } else {
    const files = [...(source.files ?? source)];
    const refused = files.filter((file) => refusal(file, purpose));
    sayRefused(refused, purpose);
    const taken = files.filter((file) => !refused.includes(file));
    if (taken.length) send(taken, options);
  }
}

function send(source, options) {
  queue.addAll(source, options);
  $("uploads").hidden = false;
  $("uploads-title").focus();
}

function sayRefused(files, purpose) {
  if (!files.length) return notice("refused");
  const list = element("ul", {}, ...files.slice(0, 50).map((file) => element("li", {}, `${file.name}: ${refusal(file, purpose)}`)));
  const body = [quiet(text("refused_why", { purpose: purpose.name, text: purpose.texts[language] })), list];
  const other = purposes.find((each) => !each.metadata.length && files.every((file) => !refusal(file, each)));
  if (other) {
    body.push(button(text("other_purpose", { purpose: other.name }), () => {
      $("purpose").value = other.name;
      purposeChanged();
      add(files);
    }));
  }
  notice("refused", { title: text("refused", { count: files.length }), body, bad: true, dismissed: true });
}

function draw() {
  if (items !== queue.items) {
    items = queue.items;
    const now = new Set(items);
    for (const [upload, row] of rows) {
      if (now.has(upload)) continue;
      row.node.remove();
      row.end();
      rows.delete(upload);
    }
    const added = items.filter((each) => !rows.has(each));
    $("rows").append(...added.map((upload) => {
      const row = rowOf(upload);
      rows.set(upload, row);
      return row.node;
    }));
    if (added.length) {
      if (batch.over) batch = { items: [], half: false, over: false };
      batch.items.push(...added);
      say(text("say_start", { count: added.length }));
      unfinished();
    }
    $("uploads").hidden = !items.length;
  }
  summary();
}

const total = (uploads, of) => uploads.reduce((sum, each) => sum + of(each), 0);

function summary() {
  const sizes = total(items, (each) => each.size);
  const sent = total(items, (each) => (each.state === "stored" ? each.size : each.sent));
  const speed = total(items, (each) => (each.state === "sending" ? each.speed : 0));
  const count = { count: items.length };
  const done = items.filter((each) => each.state === "stored").length;
  const failed = items.filter((each) => each.state === "failed").length;
  const going = items.some((each) => !OVER.has(each.state));
  const said = [text("done_of", { ...count, done })];
  if (failed) said.push(text("failed_of", { count: failed }));
  if (going && speed) said.push(text("speed", { speed: bytes(speed) }), text("left", { time: duration((sizes - sent) / speed) }));
  $("summary").textContent = said.join(" · ");
  $("whole").value = sizes ? sent / sizes : 0;
  $("whole").hidden = !going || items.length === 1;
  const several = items.length > 1;
  tool("pause", several && going && !pausing);
  tool("resume", several && going && pausing);
  tool("retry", failed > 1);
  tool("clear", items.some((each) => OVER.has(each.state)));
  sayHow();
}

const batchTools = {
  pause: ["pause_all", () => ((pausing = true), queue.pause())],
  resume: ["resume_all", () => ((pausing = false), queue.resume())],
  retry: ["retry_all", () => items.filter((each) => each.state === "failed").forEach(again)],
  clear: ["clear", clear],
};
for (const [name, [label, onclick]] of Object.entries(batchTools)) {
  $("batch").append(element("button", { type: "button", className: "link", id: `batch-${name}`, onclick, hidden: true }, text(label)));
}

function again(upload) {
  batch.over = false;
  upload.retry();
}

function tool(name, wanted) {
  const made = $(`batch-${name}`);
  if (made === document.activeElement && !wanted) $("uploads-title").focus();
  made.hidden = !wanted;
}

function clear() {
  for (const each of items) if (OVER.has(each.state)) queue.remove(each);
  (queue.items.length ? $("uploads-title") : $("choose")).focus();
}

// Says how a batch goes: at its half and its end; its start and failures are said elsewhere.
function sayHow() {
  if (batch.over) return;
  const there = batch.items.filter((each) => each.state !== "cancelled");
  const count = { count: there.length };
  const done = there.filter((each) => each.state === "stored");
  const failed = there.filter((each) => each.state === "failed");
  if (done.length + failed.length === there.length) {
    batch.over = true;
    if (done.length === 1 && there.length === 1) say(text("say_stored", { name: done[0].name }));
    else if (done.length && !failed.length) say(text("say_all_stored", count));
    else if (there.length > 1) say(text("say_ended", { done: done.length, failed: failed.length }));
  } else if (!batch.half && total(there, (each) => each.sent) * 2 >= total(there, (each) => each.size)) {
    batch.half = true;
    say(text("say_half"));
  }
}

function rowOf(upload) {
  const { name } = upload;
  const preview = element("div", { className: "preview" }, icon(iconOf(upload.type)));
  const state = quiet("");
  const bar = element("progress", { max: 1, value: 0, ariaLabel: name });
  const pause = iconButton("pause", text("pause", { name }), () => (pausable() ? upload.pause() : upload.resume()));
  const retry = iconButton("retry", text("retry_file", { name }), () => again(upload));
  const copy = iconButton("link", text("copy", { name }), () => copyLink(upload.result.key));
  const remove = iconButton("close", text("remove", { name }), () => {
    focusBeside(node, $("choose"));
    say(text("removed", { name }));
    queue.remove(upload);
  });
  const tools = element("div", { className: "tools" }, pause, retry, copy, remove);
  const about = element("div", {}, element("p", { className: "name", title: name }, name), state, bar);
  const node = element("li", { className: "row" }, preview, about, tools);
  const pausable = () => upload.state !== "paused";
  let before;

  function update() {
    const facts = { sent: bytes(upload.sent), size: bytes(upload.size) };
    const said = [upload.state === "failed" ? why(upload.problem) : text(upload.state, facts)];
    if (upload.state === "sending") {
      if (upload.speed) said.push(text("speed", { speed: bytes(upload.speed) }));
      if (upload.secondsLeft !== null) said.push(text("left", { time: duration(upload.secondsLeft) }));
      if (upload.resumed) said.push(text("resumed"));
    }
    const mark = { stored: "check", failed: "alert" }[upload.state];
    state.replaceChildren(...(mark ? [icon(mark)] : []), said.join(" · "));
    bar.value = upload.size ? upload.sent / upload.size : 0;
    if (upload.state === before) return;
    before = node.dataset.state = upload.state;
    const focused = document.activeElement;
    relabel(pause, pausable() ? "pause" : "play", text(pausable() ? "pause" : "resume", { name }));
    pause.hidden = OVER.has(upload.state) || upload.state === "checking";
    retry.hidden = upload.state !== "failed";
    copy.hidden = upload.state !== "stored" || !maySeeFiles();
    if (focused.hidden && tools.contains(focused)) remove.focus();
    if (upload.state === "failed") {
      if (batch.items.filter((each) => each.state === "failed").length <= 3) say(text("say_failed", { name, why: why(upload.problem) }));
      if (upload.problem?.status === 401 || upload.problem?.code === "signed-out") leave(text("sign_in_ended"));
    }
    if (upload.state === "stored") arrived(upload);
  }

  once(preview, () => drawPreview(preview, upload.file));
  const end = upload.subscribe(update);
  update();
  return { node, end };
}

async function drawPreview(place, file) {
  if (!PICTURES.test(file.type) || file.size > PREVIEW_MAX_BYTES) return;
  const bitmap = await createImageBitmap(file);
  const width = Math.min(bitmap.width, 400);
  const canvas = element("canvas", { width, height: Math.max(1, Math.round((bitmap.height * width) / bitmap.width)) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  place.replaceChildren(canvas);
}

function unfinished() {
  const here = (pending) => items?.some((each) => each.name === pending.name && each.size === pending.size);
  const found = queue.unfinished().filter((pending) => !here(pending));
  const list = document.querySelector("#unfinished ul");
  list.replaceChildren(...found.map((pending) => {
    const { name, size, purpose, metadata, sentBytes = 0, startedAt } = pending;
    const input = element("input", { type: "file", className: "unseen", ariaLabel: text("choose_again", { name }), onchange: () => send(input.files, { purpose, metadata }) });
    const label = element("label", { className: "button" }, input, text("choose_again_short"));
    const forget = iconButton("trash", text("forget", { name }), () => {
      focusBeside(node, $("choose"));
      queue.forget(pending);
      unfinished();
    });
    const facts = { sent: bytes(sentBytes), size: bytes(size), when: moment.format(new Date(startedAt)) };
    const about = element("div", {}, element("p", { className: "name", title: name }, name), quiet(text("unfinished_sent", facts)));
    const node = element("li", { className: "row" }, element("div", { className: "preview" }, icon("file")), about, element("div", { className: "tools" }, label, forget));
    return node;
  }));
  $("unfinished").hidden = !found.length || $("add").hidden;
}

// --- Stored files ------------------------------------------------------------------------------------------

let stored = [];
let nextToken = null;
let shown = TILES;
const tiles = new Map();
const maySeeFiles = () => !setup.filesNeedToken || session !== null;

async function list(from = null) {
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
  $("empty").textContent = text(maySeeFiles() ? "empty" : "files_need_sign_in");
  $("more").hidden = stored.length <= shown && nextToken === null;
  $("stored-count").textContent = stored.length ? text(nextToken ? "partial" : "files", { count: stored.length }) : "";
}

// Puts an upload of this visit in front, with what is known of it without a question to the service.
function arrived({ result, name, type, file }) {
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
    const variant = Object.values(known.variants).find(Boolean);
    if (!variant && file.size > THUMBNAIL_MAX_BYTES) return;
    const src = variant ?? file.cdn ?? (await urlOf(file.key));
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

async function copyLink(key, cdn) {
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

// --- The whole -------------------------------------------------------------------------------------------

const canSignIn = setup.callback === location.origin + location.pathname ? setup.providers : [];

// Draws what depends on who is here.
function show() {
  const gate = setup.uploadsNeedToken && session === null;
  $("sign-in").hidden = !gate;
  $("add").hidden = gate || !purposes.length;
  $("unfinished").hidden ||= gate;
  $("token-form").hidden = canSignIn.length > 0;
  const account = [];
  if (session) {
    account.push(element("span", { className: "quiet" }, session.name || text("signed_in")), button(text("sign_out"), signOut, "link"));
  } else if (!gate && setup.filesNeedToken) {
    account.push(button(text("sign_in"), () => {
      $("sign-in").hidden = false;
      document.querySelector("#providers button, #token:not([hidden])").focus();
    }, "link"));
  }
  $("account").replaceChildren(...account);
  if (maySeeFiles()) return;
  stored = [];
  drawTiles();
  $("stored").hidden = gate;
}

async function begin() {
  notice("down");
  show();
  if (!$("sign-in").hidden) return;
  try {
    ({ purposes } = await call("GET", "/purposes"));
  } catch (problem) {
    if (problem.status !== 401) {
      const title = text(navigator.onLine ? "down" : "you_are_offline");
      notice("down", { title, body: [quiet(problem.code === "network" ? text("down_why") : why(problem)), button(text("retry"), begin)], bad: true });
    }
    return;
  }
  $("purpose").replaceChildren(...purposes.map(({ name }) => element("option", { value: name }, name)));
  purposeChanged();
  show();
  open();
  stored = [];
  if (maySeeFiles()) await list();
}

function connected() {
  if (navigator.onLine) {
    if ($("offline")) say(text("say_online"));
    notice("offline");
    if ($("down")) begin();
  } else {
    notice("offline", { title: text("you_are_offline"), body: [quiet(text("offline_why"))], name: "offline" });
  }
}

$("providers").append(...canSignIn.map((each) => button(text("sign_in_with", { name: { google: "Google", github: "GitHub" }[each] }), () => signIn(each), "button primary")));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const access = $("token").value.trim().replace(/^Bearer\s+/i, "");
  $("token").value = "";
  session = { access, id: subjectOf(access) };
  notice("ended");
  begin();
});
$("purpose").addEventListener("change", purposeChanged);
$("choose").addEventListener("change", () => {
  add($("choose").files);
  $("choose").value = "";
});
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

const hasFiles = (event) => !$("add").hidden && event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => hasFiles(event) && document.body.classList.add("dragging"));
addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dragging"));
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!hasFiles(event)) return;
  event.preventDefault();
  add(event.dataTransfer);
});
addEventListener("paste", (event) => event.clipboardData.files.length && add(event.clipboardData));
addEventListener("offline", connected);
addEventListener("online", connected);
addEventListener("beforeunload", (event) => items?.some((each) => ["hashing", "sending"].includes(each.state)) && event.preventDefault());

session = JSON.parse(taken(KEPT) ?? "null");
connected();
await comeBack();
await begin();
