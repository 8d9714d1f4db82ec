// The uploads of this visit, over the client module, and those that an earlier visit left.
import { uploads } from "../../client.js";
import { $, element, focusBeside, icon, iconButton, iconOf, quiet, relabel } from "./elements.js";
import { arrived, copyLink } from "./gallery.js";
import { say } from "./notices.js";
import { drawPreview, once } from "./previews.js";
import { base, leave, maySeeFiles, session, token } from "./session.js";
import { bytes, duration, language, moment, percent, text, why } from "./texts.js";

const OVER = new Set(["stored", "failed", "cancelled"]);
const ROWS_A_FRAME = 25; // a thousand at once would block the page for longer than a click should wait

let queue = null;
let user = null; // whose uploads the queue has
let items = null;
let pausing = false;
let batch = { items: [], half: false, over: true };
const rows = new Map();
let below = null; // the row that was the first when the last files were added
let nextRows = false; // the frame that draws more of them
const { title } = document;

// Makes the queue of who is here now. That of the same user stays, with what was not sent.
export function open() {
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

export function close() {
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
  document.title = title;
}

export function send(source, options) {
  queue.addAll(source, options);
  $("uploads").hidden = false;
  $("uploads-title").focus();
}

function draw() {
  if (items !== queue.items) {
    const known = new Set(items);
    items = queue.items;
    const now = new Set(items);
    for (const [upload, row] of rows) {
      if (now.has(upload)) continue;
      row.node.remove();
      row.end();
      rows.delete(upload);
    }
    const added = items.filter((each) => !known.has(each));
    if (added.length) {
      below = $("rows").firstChild;
      if (batch.over) batch = { items: [], half: false, over: false };
      batch.items.push(...added);
      say(text("say_start", { count: added.length }));
      unfinished();
    }
    $("uploads").hidden = !items.length;
  }
  nextRows || drawRows();
  summary();
}

// What was added last comes first, as among the stored files.
function drawRows() {
  const missing = items.filter((each) => !rows.has(each));
  for (const upload of missing.slice(0, ROWS_A_FRAME)) {
    const row = rowOf(upload);
    rows.set(upload, row);
    $("rows").insertBefore(row.node, below?.isConnected ? below : null);
  }
  nextRows = missing.length > ROWS_A_FRAME && requestAnimationFrame(nextFrame);
}

function nextFrame() {
  nextRows = false;
  if (queue) drawRows();
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
  const share = sizes ? sent / sizes : 0;
  $("whole").value = share;
  document.title = going ? `${percent(share)} · ${title}` : title;
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
  const share = element("p", { className: "share", ariaHidden: "true" }); // the bar says it to screen readers
  const pause = iconButton("pause", text("pause", { name }), () => (pausable() ? upload.pause() : upload.resume()));
  const retry = iconButton("retry", text("retry_file", { name }), () => again(upload));
  const copy = iconButton("link", text("copy", { name }), () => copyLink(upload.result.key));
  const remove = iconButton("close", text("remove", { name }), () => {
    focusBeside(node, $("choose"));
    say(text("removed", { name }));
    queue.remove(upload);
  });
  const tools = element("div", { className: "tools" }, pause, retry, copy, remove);
  const about = element("div", { className: "about" }, element("p", { className: "name", title: name }, name), share, state, bar);
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
    share.textContent = percent(bar.value);
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

export function unfinished() {
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

addEventListener("beforeunload", (event) => items?.some((each) => ["hashing", "sending"].includes(each.state)) && event.preventDefault());
