// Files from a page to S3, by the plans of the upload service. upload.d.ts says what each call means.
export const VERSION = "0.1.0";

const ACCEPTS = ["put", "post", "multipart", "resumable", "proxy"];
const ATTEMPTS = 10;
const STALL_MS = 30_000;
const HASHED_BYTES = 64 * 2 ** 20;
const PARTS_AT_ONCE = 4;
const DRAW_MS = 50; // as often as a request tells its progress
const LONGEST_WAIT_S = 120; // a longer Retry-After is told, not waited for
const DAY_MS = 86_400_000; // a ticket's life
const NAME_CHARACTERS = 255;
const FOR_GOOD = /-not-configured$|^storage-denied$|^quota-exceeded$/;
const EXPIRED = "url-expired"; // never told: another plan is asked for
const LOST = [EXPIRED, "ticket-invalid", "ticket-expired", "upload-not-found", "upload-url-expired"];

const CONNECTION = "Check the connection, then try again.";
const SIGN_IN = "Sign in again, then try again.";
const CHOOSE = "Choose the file again.";
const REMEDIES = {
  network: CONNECTION,
  stalled: CONNECTION,
  cors: "Allow the page's origin: in CORS_ALLOW_ORIGINS of the service, and in the CORS rules of the bucket.",
  "not-the-service": "Check the address of the service, and what stands in front of it.",
  "signed-out": SIGN_IN,
  "token-failed": SIGN_IN,
  "file-changed": CHOOSE,
  "file-unreadable": CHOOSE,
  "empty-file": "Choose a file with content.",
  "type-refused": "Convert the file, or choose another one.",
  "file-too-large": "Make the file smaller, or choose another one.",
  "s3-refused": "Try again later. The operator finds the reason in S3's answer.",
};

export class UploadProblem extends Error {
  constructor(code, detail, more) {
    super(`${code}: ${detail}`);
    Object.assign(this, { status: 0, again: false, remedy: REMEDIES[code] }, more, { code, detail });
    this.name = "UploadProblem";
  }
}

const problem = (code, detail, more) => new UploadProblem(code, detail, more);
const noop = () => {};

// Settles as `begin` does; an abort of the signal calls what `begin` has returned.
function until(signal, begin) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => (undo(), reject(signal.reason));
    const over = (settle) => (value) => (signal?.removeEventListener("abort", stop), settle(value));
    const undo = begin(over(resolve), over(reject));
    signal?.addEventListener("abort", stop);
  });
}

// Ends after a time, or with an event of the window if that comes earlier.
const sleep = (ms, signal, event) =>
  until(signal, (done) => {
    const timer = setTimeout(done, ms);
    if (event) addEventListener(event, done, { once: true });
    return () => clearTimeout(timer);
  });

// At most `size` tasks at once, first come first served.
function pool(size) {
  const waiting = [];
  const run = async (task, signal) => {
    if (size > 0) size -= 1;
    else await until(signal, (go) => (waiting.push(go), () => waiting.splice(waiting.indexOf(go), 1)));
    try {
      return await task();
    } finally {
      if (waiting.length) waiting.shift()();
      else size += 1;
    }
  };
  return Object.assign(run, { waiting });
}

// Calls `draw` soon, and at most once in DRAW_MS: frames would be 60 a second, for which the browser renders the page.
function seldom(draw) {
  let due;
  let last = 0;
  const now = () => ((due = undefined), (last = performance.now()), draw());
  return () => (due ??= setTimeout(now, last + DRAW_MS - performance.now()));
}

// One request and its answer, whatever the status. It is cut when no byte has moved for `waitMs`.
function send(method, url, { headers = {}, body, signal, onSent, waitMs = STALL_MS }) {
  return until(signal, (resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let timer;
    let untouched = true;
    const { host, origin } = new URL(url, location); // a presigned URL is in no problem
    const fail = (code, detail) => reject(problem(code, detail, { again: true, untouched, origin }));
    const stall = () => (fail("stalled", `No byte has moved for ${waitMs / 1000} seconds.`), xhr.abort());
    const moved = () => (clearTimeout(timer), (timer = setTimeout(stall, waitMs)));
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) if (value) xhr.setRequestHeader(name, value);
    if (onSent)
      xhr.upload.onprogress = ({ loaded }) => {
        untouched &&= !loaded;
        moved();
        onSent(loaded);
      };
    const header = (name) => xhr.getResponseHeader(name);
    xhr.onload = () => resolve({ status: xhr.status, text: xhr.responseText, header });
    xhr.onerror = () => fail("network", `No answer from ${host}.`);
    xhr.onloadend = () => clearTimeout(timer);
    moved();
    xhr.send(body);
    return () => xhr.abort();
  });
}

const transient = (status) => status === 408 || status === 429 || status >= 500;

// The service's JSON, with the status; or its problem document, thrown.
function judged({ status, text, header }) {
  let found;
  try {
    found = JSON.parse(text || "{}");
  } catch {
    // No JSON: named below.
  }
  if (found && status < 300) return { ...found, status, header };
  const retryAfter = Number(header("Retry-After")) || undefined;
  const again = transient(status) && !(retryAfter > LONGEST_WAIT_S) && !FOR_GOOD.test(found?.code);
  const more = { ...found, status, retryAfter, again };
  if (status === 401) throw problem("signed-out", found?.detail ?? "The service asks for a sign-in.", more);
  if (found?.code) throw problem(found.code, found.detail, more);
  throw problem("not-the-service", `The answer, of status ${status}, is not the upload service's.`, more);
}

function judgedByS3(answer) {
  const { status, text } = answer;
  if (status < 300) return answer;
  const [code, message] = ["Code", "Message"].map((tag) => text.match(`<${tag}>(.*?)</${tag}>`)?.[1] ?? "");
  const again = transient(status) || code === "RequestTimeout";
  // Bytes were changed on their way, or while they were read.
  if (code === "BadDigest") throw problem("file-changed", message, { status, again: true });
  throw problem("s3-refused", `S3 answered ${status} ${code} ${message}`.trim(), { status, again });
}

const bytesOf = (blob) =>
  blob.arrayBuffer().catch((cause) => {
    throw cause.name === "NotFoundError"
      ? problem("file-unreadable", "The file is no longer there, or is a folder.")
      : problem("file-changed", "The file was changed after it was chosen, or may not be read.");
  });

// Runs the task in one tab at a time: by Web Locks or, on plain http, where there are none, by asking the other tabs.
async function alone(name, signal, task) {
  if (!name) return task();
  if (navigator.locks) return navigator.locks.request(name, { signal }, task);
  const line = new BroadcastChannel(name);
  const id = Math.random();
  let mine = false;
  let taken;
  line.onmessage = ({ data }) => {
    if (data === "taken") taken = true;
    else if (mine || id < data) line.postMessage("taken");
  };
  try {
    do {
      taken = false;
      line.postMessage(id);
      await sleep(300, signal); // for the answers of the other tabs
    } while (taken);
    mine = true;
    return await task();
  } finally {
    line.close();
  }
}

function shortened(name) {
  const characters = [...name.normalize("NFC")];
  const dot = characters.lastIndexOf(".");
  const end = dot > characters.length - 20 ? characters.splice(dot) : [];
  return [...characters.slice(0, NAME_CHARACTERS - end.length), ...end].join("");
}

async function filesIn(entry) {
  if (entry instanceof File) return [entry];
  // What cannot be read is there without a byte, and fails by its name.
  const file = entry.isFile && (await new Promise((go) => entry.file(go, () => go(new File([], entry.name)))));
  if (file) return [file];
  const found = [];
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((go) => reader.readEntries(go, () => go([]))); // a hundred at a time
    if (!some.length) return found;
    for (const each of some) found.push(...(await filesIn(each)));
  }
}

export function uploads(options) {
  const { requests = 6, accepts = ACCEPTS, user = "" } = options;
  const service = (options.service ?? "").replace(/\/+$/, "");
  const scope = `image-upload|${service}|${user}|`;
  const active = pool(requests);
  const slots = pool(requests);
  const checks = pool(Math.ceil(requests / 2));
  const hashing = pool(1);
  const readable = new Set(); // origins whose answers this page may read
  const listeners = new Set();
  const keys = new WeakMap();
  let count = 0;
  let hashes = Boolean(globalThis.crypto?.subtle);
  let auth;
  let purposes;
  let { storage } = options;
  try {
    storage ??= storage === null ? null : localStorage;
  } catch {
    // The browser forbids it: nothing is kept after a reload.
  }

  const read = (key) => {
    try {
      return JSON.parse(storage.getItem(key));
    } catch {
      return null;
    }
  };
  const write = (key, value) => {
    try {
      if (value) storage.setItem(key, JSON.stringify(value));
      else storage.removeItem(key);
    } catch {
      // Full or forbidden: the upload goes on without.
    }
  };

  // Tries until it succeeds, or until trying again would not help.
  async function persist(once, { signal, lane = slots, prepare = noop, offline = noop }) {
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted();
      const ready = await prepare();
      try {
        return await lane(() => once(ready), signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!error.again) throw error;
        if (error.origin && navigator.onLine === false) {
          tries -= 1;
          offline(1);
          await sleep(STALL_MS, signal, "online").finally(() => offline(-1)); // `onLine` may be wrong
          continue;
        }
        if (tries > 3 && error.untouched && (await isForbidden(error.origin)))
          throw problem("cors", `${error.origin} answers, but not to pages of ${location.origin}.`);
        if (tries === ATTEMPTS) throw error;
        const longest = Math.min(STALL_MS, 500 * 2 ** (tries - 1));
        await sleep(error.retryAfter ? error.retryAfter * 1000 : Math.random() * longest, signal);
      }
    }
  }

  // Whether a server can be reached that has never let this page read an answer.
  async function isForbidden(origin) {
    if (origin === location.origin || readable.has(origin)) return false;
    return fetch(origin, { mode: "no-cors", cache: "no-store" }).then(() => true, () => false);
  }

  async function asked(method, url, request) {
    const answer = await send(method, url, request);
    readable.add(new URL(url, location).origin);
    return answer;
  }

  // One call of the service. A 401 asks once for another token.
  async function ask(method, path, { headers, json, ...request } = {}) {
    const url = /^https?:/.test(path) ? path : service + path;
    const changes = typeof options.token === "function";
    for (let renewed = false; ; renewed = true) {
      const current = (auth ??= (async () => (changes ? options.token() : options.token))());
      const token = await current.catch((cause) => {
        auth = undefined;
        throw problem("token-failed", `The page has no token: ${cause?.message ?? cause}.`, { cause });
      });
      const answer = await asked(method, url, {
        waitMs: 2 * STALL_MS,
        body: json && JSON.stringify(json),
        ...request,
        headers: {
          ...options.headers?.(),
          "Content-Type": json && "application/json",
          "Accept-Language": options.language,
          Authorization: token && `Bearer ${token}`,
          ...headers,
        },
      });
      if (answer.status === 401 && auth === current) auth = undefined;
      if (answer.status !== 401 || renewed || !changes) return judged(answer);
    }
  }

  const call = (method, path, { signal, lane, offline, ...request } = {}) =>
    persist(() => ask(method, path, { signal, ...request }), { signal, lane, offline });

  function abort({ ticket, uploadUrl }) {
    const headers = { "Tus-Resumable": uploadUrl && "1.0.0" };
    call("DELETE", uploadUrl ?? `/uploads/${ticket}`, { headers }).catch(noop); // its lifecycle rule does it later
  }

  // The purposes, asked for once; undefined where the service does not tell.
  const listed = () =>
    (purposes ??= call("GET", "/purposes").then(
      (answer) => answer.purposes,
      (error) => {
        purposes = undefined;
        if (error.status !== 404) throw error;
      },
    ));

  const tell = seldom(() => listeners.forEach((listener) => listener()));

  function create(file, given) {
    const { idempotencyKey, metadata = options.metadata } = given;
    const { size, type } = file;
    const name = shortened(given.filename ?? file.name ?? "blob");
    const purpose = given.purpose ?? options.purpose;
    const identity = [purpose, name, size, file.lastModified, type, JSON.stringify(metadata)];
    const key = storage && file.name && scope + identity.join("|");
    const added = Date.now();
    const watching = new Set();
    const flying = new Map(); // bytes under way, by part
    const urls = new Map();
    let phase;
    let offlines = 0;
    let done = 0;
    let sample;
    let plan;
    let planEnds;
    let begun;
    let arrived; // what the service says once S3 has all bytes
    let control;
    let running;
    let signing;
    let settle;

    const told = seldom(() => watching.forEach((listener) => listener(upload)));

    // Bring up to date what is seen of the upload.
    function show(next = phase) {
      phase = next;
      const sent = Math.min(size, [...flying.values()].reduce((sum, bytes) => sum + bytes, done));
      const now = performance.now();
      sample ??= { now, sent };
      const passed = (now - sample.now) / 1000;
      let { speed } = upload;
      if (passed > 0.25) {
        const rate = Math.max(0, sent - sample.sent) / passed;
        speed = speed ? speed * 0.8 + rate * 0.2 : rate;
        sample = { now, sent };
      }
      if (phase !== "sending") speed = 0;
      const state = offlines && !control.signal.aborted ? "offline" : phase;
      Object.assign(upload, { state, sent, speed, secondsLeft: speed ? (size - sent) / speed : null });
      if (watching.size) told();
      tell();
    }

    // What is paused or cancelled meanwhile enters no other state.
    const enter = (next, signal) => (signal.throwIfAborted(), show(next));

    const offline = (by) => ((offlines += by), show());

    function promise() {
      upload.done = new Promise((resolve, reject) => (settle = { resolve, reject }));
      upload.done.catch(noop); // a page that does not wait for it has `problem`
    }

    // Note what an upload needs to go on after a reload; no presigned URL is among it.
    function keep(more) {
      if (!key || !plan.ticket) return;
      const { strategy, objectKey, ticket, partSize, partCount, uploadUrl, chunkSize, headers } = plan;
      const kept = { strategy, objectKey, ticket, partSize, partCount, uploadUrl, chunkSize, headers };
      write(key, { plan: kept, name, size, purpose, metadata, begun, sent: done, ...more });
    }

    function recall() {
      const kept = key && read(key);
      // What was over before this file was added is another upload.
      if (!kept?.plan || kept.begun < Date.now() - DAY_MS || kept.ended < added) return;
      ({ plan, begun } = kept);
      upload.resumed = true;
    }

    // Refuse what the purpose does not take. Returns the type to send.
    async function checked() {
      if (!size) throw problem("empty-file", "The file is empty.");
      const all = await listed();
      const taken = all?.find((each) => !purpose || each.name === purpose.toLowerCase());
      if (!taken) return type;
      const { types, extensions, maxBytes, texts } = taken;
      const text = texts?.[/^ko/.test(options.language ?? navigator.language) ? "ko" : "en"];
      if (size > maxBytes) throw problem("file-too-large", text, { max_bytes: maxBytes });
      const plain = type.toLowerCase().split(";")[0];
      const takes = (each) => ["*/*", plain, plain.replace(/\/.*/, "/*")].includes(each);
      if (!types.some(takes) && !extensions.some((each) => name.toLowerCase().endsWith(`.${each}`)))
        throw problem("type-refused", text, { allowed: types });
      return type || (types.includes("*/*") ? "application/octet-stream" : "");
    }

    async function mint(contentType, signal) {
      const json = { filename: name, contentType, size, purpose, metadata, accepts };
      if (hashes && size <= HASHED_BYTES && accepts.includes("put")) {
        enter("hashing", signal);
        const digest = await hashing(async () => crypto.subtle.digest("SHA-256", await bytesOf(file)), signal);
        json.sha256 = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        enter("sending", signal);
      }
      const headers = { "Idempotency-Key": idempotencyKey && `"${idempotencyKey}"` };
      let made;
      while (!made)
        try {
          // Without the signal: also where it is cancelled meanwhile, its answer names what to abort in S3.
          made = await persist(() => ask("POST", "/uploads", { json, headers }), { signal, offline });
        } catch (error) {
          const { code } = error;
          if (code === "already-exists" && idempotencyKey) made = { objectKey: error.objectKey, strategy: "none" };
          else if (code === "tickets-not-configured" && json.accepts === accepts)
            json.accepts = accepts.filter((each) => each !== "multipart" && each !== "resumable");
          else if (json.sha256 && /^(no-strategy|validation-failed)$/.test(code)) hashes = json.sha256 = undefined;
          else throw error;
        }
      if (!senders[made.strategy]) throw problem("not-the-service", `Unknown strategy of a plan: ${made.strategy}.`);
      plan = made;
      begun = Date.now();
      planEnds = begun + plan.expiresIn * 1000;
      for (const { partNumber, url } of plan.parts ?? []) urls.set(partNumber, url);
      keep();
      signal.throwIfAborted();
    }

    // Sends some bytes of the file with one request, and counts them. `prepare` says which, before each attempt.
    const carry = (part, signal, prepare, once) =>
      persist(
        async (ready) => {
          const { blob } = ready;
          const request = { signal, onSent: (loaded) => (flying.set(part, Math.min(loaded, blob.size)), show()) };
          try {
            await once(request, ready);
            done += blob.size;
          } catch (error) {
            if (error.code === "network") await bytesOf(blob.slice(0, 1));
            throw error;
          } finally {
            flying.delete(part);
            show();
          }
        },
        { signal, prepare, offline },
      );

    async function whole(fresh, signal) {
      let body = file;
      if (plan.fields) {
        body = new FormData();
        for (const [field, value] of Object.entries(plan.fields)) body.append(field, value);
        body.append("file", file, name);
      }
      done = 0;
      // Some stores refuse an expired URL without the CORS headers that would let the page see it.
      const prepare = async () => {
        if (!fresh && !(Date.now() < planEnds)) throw problem(EXPIRED, "The plan has expired.");
        fresh = false;
        return { blob: file };
      };
      await carry(0, signal, prepare, async (request) => {
        Object.assign(request, { body, headers: plan.headers });
        if (plan.formUrl) return ask("POST", plan.formUrl, { ...request, waitMs: 10 * STALL_MS });
        const answer = await asked(plan.method, plan.presignedUrl, request);
        return (answer.status === 412 && idempotencyKey) || judgedByS3(answer); // it was stored before
      });
    }

    async function urlOf(number, others, signal) {
      if (!(Date.now() < planEnds)) urls.clear();
      while (!urls.has(number)) {
        signing ??= (async () => {
          const json = { partNumbers: [number, ...others.filter((each) => !urls.has(each)).slice(0, 99)] };
          const signed = await call("POST", `/uploads/${plan.ticket}/parts`, { json, signal, offline });
          planEnds = Date.now() + signed.expiresIn * 1000;
          for (const { partNumber, url } of signed.parts) urls.set(partNumber, url);
        })().finally(() => (signing = undefined));
        await signing;
      }
      return urls.get(number);
    }

    async function parts(fresh, signal) {
      const path = `/uploads/${plan.ticket}`;
      const { partSize, partCount } = plan;
      const slice = (number) => file.slice((number - 1) * partSize, Math.min(size, number * partSize));
      for (let round = 0; ; round += 1) {
        let missing = Array.from({ length: partCount }, (_, index) => index + 1);
        if (!fresh || round) {
          const found = await call("GET", path, { signal, offline });
          if (found.completed) return;
          ({ missing } = found);
        }
        done = missing.reduce((left, number) => left - slice(number).size, size);
        const part = (number, others) =>
          carry(
            number,
            signal,
            async () => ({ blob: slice(number), url: await urlOf(number, others, signal) }),
            async (request, { blob, url }) => {
              urls.delete(number); // whatever fails, the next attempt has another one
              judgedByS3(await asked("PUT", url, { ...request, body: blob }));
            },
          );
        const worker = async () => {
          for (let number; (number = missing.shift()); keep())
            await part(number, missing).catch((error) => {
              if (error.code !== "s3-refused" || error.status !== 403) throw error;
              return part(number, []); // its URL had expired: once more
            });
        };
        await Promise.all(Array.from({ length: PARTS_AT_ONCE }, worker));
        try {
          arrived = await call("POST", `${path}/complete`, { signal, offline });
          return;
        } catch (error) {
          if (round === 2 || !/^parts-/.test(error.code)) throw error;
        }
      }
    }

    // tus 1.0: https://tus.io/protocols/resumable-upload
    async function resumable(fresh, signal) {
      const { uploadUrl, chunkSize } = plan;
      const tus = { ...plan.headers, "Tus-Resumable": "1.0.0" };
      let offset = fresh ? 0 : undefined;
      const prepare = async () => {
        offset ??= Number((await call("HEAD", uploadUrl, { headers: tus, signal, offline })).header("Upload-Offset"));
        done = offset;
        return { blob: file.slice(offset, Math.min(size, offset + (chunkSize ?? size))) };
      };
      const patch = async (request, { blob }) => {
        const headers = { ...tus, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
        offset = undefined; // until an answer tells it
        try {
          offset = Number((await ask("PATCH", uploadUrl, { ...request, headers, body: blob })).header("Upload-Offset"));
        } catch (error) {
          throw Object.assign(error, error.status === 409 && { again: true });
        }
      };
      for (; offset !== size; keep()) await carry(0, signal, prepare, patch);
    }

    const senders = { put: whole, post: whole, proxy: whole, multipart: parts, resumable, none: noop };

    async function transfer(signal) {
      const contentType = await checked();
      for (let losses = 0; ; losses += 1) {
        enter("sending", signal);
        if (!plan) recall();
        const fresh = !plan || (!plan.ticket && !(Date.now() < planEnds));
        if (fresh) await mint(contentType, signal);
        try {
          await senders[plan.strategy](fresh, signal);
          done = size;
          return keep({ ended: Date.now() });
        } catch (error) {
          const { code, status } = error;
          const isRefused = code === "s3-refused" && status === 403 && !plan.ticket;
          const isLost = isRefused || status === 404 || LOST.includes(code);
          if (signal.aborted || !isLost || losses >= (code === EXPIRED ? ATTEMPTS : 1)) throw error;
          plan = undefined;
          urls.clear();
          if (key) write(key);
        }
      }
    }

    async function described(signal) {
      enter("checking", signal);
      const path = `/images/${plan.objectKey.split("/").map(encodeURIComponent).join("/")}/complete`;
      const asking = { signal, offline, lane: checks };
      let answer;
      for (;;) {
        answer = await call("POST", `${path}?wait=${checks.waiting.length ? 1 : 20}`, asking);
        if (answer.status !== 202) break;
        await sleep(2000, signal); // what the answer's Retry-After asks for
      }
      const { key, url, size, etag, content_type: contentType, facts, variants, variant_keys: variantKeys, receipt } = answer;
      const { width, height, placeholder: thumbhash } = facts ?? {};
      return { key, url, size, etag, contentType, width, height, thumbhash, variants, variantKeys, receipt };
    }

    function start() {
      const before = running;
      const { signal } = (control = new AbortController());
      sample = undefined;
      show("waiting");
      running = (async () => {
        await before;
        try {
          if (!arrived) await alone(key, signal, () => active(() => transfer(signal), signal));
          arrived ??= {};
          const stored = await described(signal);
          enter("stored", signal);
          upload.result = stored;
          settle.resolve(stored);
        } catch (error) {
          if (signal.aborted) return;
          control.abort();
          // What arrived is gone, or is kept out: `retry` begins anew.
          if (error.status === 404 || error.status === 409) plan = arrived = undefined;
          end("failed", error instanceof UploadProblem ? error : problem("internal", String(error), { cause: error }));
        }
      })();
    }

    function end(state, found) {
      upload.problem = found;
      show(state);
      settle.reject(found);
    }

    const upload = {
      id: String((count += 1)),
      file,
      name,
      size,
      type,
      purpose,
      resumed: false,
      problem: null,
      result: null,
      speed: 0,
      subscribe(listener) {
        watching.add(listener);
        return () => watching.delete(listener);
      },
      pause() {
        if (control.signal.aborted || phase === "stored") return;
        control.abort();
        show("paused");
      },
      resume() {
        if (phase === "paused") start();
      },
      cancel() {
        if (phase === "stored" || phase === "cancelled") return;
        control.abort();
        end("cancelled", problem("cancelled", "The upload was cancelled."));
        running.then(() => {
          if (plan?.ticket && !arrived) {
            abort(plan);
            if (key) write(key);
          }
          plan = arrived = undefined;
        });
      },
      retry() {
        if (phase !== "failed" && phase !== "cancelled") return;
        upload.problem = null;
        promise();
        start();
      },
    };
    if (key) keys.set(upload, key);
    promise();
    start();
    return upload;
  }

  function add(file, given = {}) {
    const upload = create(file, given);
    queue.items = [...queue.items, upload];
    tell();
    return upload;
  }

  async function addAll(source, given) {
    if (!source.items) return Array.from(source, (file) => add(file, given));
    // A drop is empty once its event is over, so its entries are taken first.
    const dropped = [...source.items].filter((item) => item.kind === "file");
    const found = await Promise.all(dropped.map((item) => filesIn(item.webkitGetAsEntry() ?? item.getAsFile())));
    return found.flat().map((file) => add(file, given));
  }

  function unfinished() {
    const now = Date.now();
    const found = [];
    for (const key of Object.keys(storage ?? {}).filter((each) => each.startsWith(scope))) {
      const { plan, name, size, purpose, metadata, sent, begun, ended } = read(key) ?? {};
      if (!plan || begun < now - DAY_MS || ended < now - STALL_MS) write(key);
      else if (!ended && !queue.items.some((upload) => keys.get(upload) === key))
        found.push({ key, name, size, purpose, metadata, sentBytes: sent, startedAt: begun });
    }
    return found.sort((one, other) => other.startedAt - one.startedAt);
  }

  const each = (deed) => () => queue.items.forEach((upload) => upload[deed]());

  const queue = {
    items: [],
    add,
    addAll,
    unfinished,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    forget({ key }) {
      const kept = read(key);
      write(key);
      if (kept) abort(kept.plan);
      tell();
    },
    remove(upload) {
      upload.cancel();
      queue.items = queue.items.filter((other) => other !== upload);
      tell();
    },
    pause: each("pause"),
    resume: each("resume"),
    close: each("pause"),
  };
  return queue;
}
