// Files from a page to S3, through the upload service. upload.d.ts says what each call means; docs/client.md how to use it.
export const VERSION = "0.1.0";

const ACCEPTS = ["put", "post", "multipart", "proxy"];
const ATTEMPTS = 10;
const STALL_MS = 30_000;
const HASHED_BYTES = 64 * 2 ** 20;
const PARTS_AT_ONCE = 4;
const LONGEST_WAIT_S = 120; // a longer Retry-After is told, not waited for
const DAY_MS = 86_400_000; // a ticket's life
const PREFIX = "image-upload|";
const NAME_CHARACTERS = 255;
const OVER = ["stored", "failed", "cancelled"];
const GONE = ["ticket-invalid", "ticket-expired", "upload-not-found", "upload-url-expired"];
const REMEDIES = {
  network: "Check the connection, then try again.",
  stalled: "Check the connection, then try again.",
  cors: "Its operator allows the page's origin: CORS_ALLOW_ORIGINS of the service, CORS rules of the bucket.",
  "not-the-service": "Check the address of the service, and what stands in front of it.",
  "signed-out": "Sign in again, then try again.",
  "token-failed": "Sign in again, then try again.",
  "file-changed": "Choose the file again.",
  "file-unreadable": "Choose the file again.",
  "empty-file": "Choose a file with content.",
  "type-refused": "Convert the file, or choose another one.",
  "file-too-large": "Make the file smaller, or choose another one.",
  "s3-refused": "Try again. If it stays so, the operator finds the reason in S3's answer.",
};

export class UploadProblem extends Error {
  constructor(code, detail, more) {
    super(`${code}: ${detail}`);
    Object.assign(this, { name: "UploadProblem", status: 0, again: false, remedy: REMEDIES[code] }, more, { code, detail });
  }
}

const problem = (code, detail, more) => new UploadProblem(code, detail, more);
const noop = () => {};

// What `begin` settles, or the signal rejects after undoing it.
function until(signal, begin) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => (undo(), reject(signal.reason));
    const over = (settle) => (value) => (signal?.removeEventListener("abort", stop), settle(value));
    const undo = begin(over(resolve), over(reject));
    signal?.addEventListener("abort", stop);
  });
}

const sleep = (ms, signal) =>
  until(signal, (done) => {
    const timer = setTimeout(done, ms);
    return () => clearTimeout(timer);
  });

// `navigator.onLine` may be wrong, so this does not wait for the event alone.
const online = (signal) =>
  until(signal, (done) => {
    const timer = setTimeout(done, STALL_MS);
    addEventListener("online", done, { once: true });
    return () => (clearTimeout(timer), removeEventListener("online", done));
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

// Calls `draw` at most once a frame, and in a hidden tab, which has no frames, four times a second.
function framed(draw) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    const now = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      due = false;
      draw();
    };
    const frame = requestAnimationFrame(now);
    const timer = setTimeout(now, 250);
  };
}

// One request and its answer, whatever the status. It is cut when no byte has moved for `waitMs`.
function send(method, url, { headers = {}, body, signal, onSent, waitMs = STALL_MS }) {
  return until(signal, (resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let timer;
    let untouched = true;
    const fail = (code, detail) => reject(problem(code, detail, { again: true, untouched, url }));
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(() => (fail("stalled", `No byte has moved for ${waitMs / 1000} seconds.`), xhr.abort()), waitMs);
    };
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) if (value != null) xhr.setRequestHeader(name, value);
    if (onSent)
      xhr.upload.onprogress = ({ loaded }) => {
        if (loaded) untouched = false;
        moved();
        onSent(loaded);
      };
    xhr.onload = () => resolve({ status: xhr.status, text: xhr.responseText, header: (name) => xhr.getResponseHeader(name) });
    xhr.onerror = () => fail("network", `No answer from ${new URL(url, location.href).host}.`);
    xhr.onloadend = () => clearTimeout(timer);
    moved();
    xhr.send(body);
    return () => xhr.abort();
  });
}

const transient = (status) => status === 408 || status === 429 || status >= 500;

// The service's JSON, or its problem document thrown.
function judged({ status, text, header }) {
  let found;
  try {
    found = JSON.parse(text || "{}");
  } catch {
    /* named below */
  }
  if (found && status < 300) return { ...found, status, header };
  const wait = header("Retry-After");
  const retryAfter = wait ? (Number(wait) || (Date.parse(wait) - Date.now()) / 1000 || 0) : undefined;
  const forGood = retryAfter > LONGEST_WAIT_S || /-not-configured$|^storage-denied$/.test(found?.code);
  const more = { ...found, status, retryAfter, again: transient(status) && !forGood };
  if (status === 401) throw problem("signed-out", found?.detail ?? "The service asks for a sign-in.", more);
  if (!found?.code) throw problem("not-the-service", `The answer, of status ${status}, is not the upload service's.`, more);
  throw problem(found.code, found.detail, more);
}

function judgedByS3(answer) {
  const { status, text } = answer;
  if (status < 300) return answer;
  const [code, message] = ["Code", "Message"].map((tag) => text.match(`<${tag}>(.*?)</${tag}>`)?.[1] ?? "");
  throw problem(
    code === "BadDigest" || code === "XAmzContentChecksumMismatch" ? "file-changed" : "s3-refused",
    `S3 answered ${status} ${code} ${message}`.trim(),
    { status, s3Code: code, again: transient(status) || code === "RequestTimeout" },
  );
}

async function checkReadable(blob) {
  try {
    return await blob.arrayBuffer();
  } catch (cause) {
    if (cause.name === "NotFoundError") throw problem("file-unreadable", "The file is not there any more, or is a folder.", { cause });
    throw problem("file-changed", "The file was changed after it was chosen, or may not be read.", { cause });
  }
}

// Runs the task in one tab at a time: by Web Locks or, on plain http, where there are none, by asking the other tabs.
async function alone(name, signal, task) {
  if (!name) return task();
  if (navigator.locks) return navigator.locks.request(name, { signal }, task);
  const line = new BroadcastChannel(name);
  const id = Math.random();
  let mine = false;
  let taken;
  line.onmessage = ({ data }) => {
    if (data === "taken") taken = !mine;
    else if (mine || id < data) line.postMessage("taken");
  };
  try {
    do {
      taken = false;
      line.postMessage(id);
      await sleep(300, signal);
    } while (taken);
    mine = true;
    return await task();
  } finally {
    line.close();
  }
}

// 255 characters in composed form, with the extension.
function shortened(name) {
  const characters = [...name.normalize("NFC")];
  if (characters.length <= NAME_CHARACTERS) return characters.join("");
  const dot = characters.lastIndexOf(".");
  const end = dot > characters.length - 20 ? characters.slice(dot) : [];
  return [...characters.slice(0, NAME_CHARACTERS - end.length), ...end].join("");
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve) => entry.file(resolve, () => resolve(new File([], entry.name))))];
  const found = [];
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (!some.length) return found;
    for (const each of some) found.push(...(await filesIn(each)));
  }
}

export function uploads(options) {
  const { requests = 6, accepts = ACCEPTS, user = "" } = options;
  const service = (options.service ?? "").replace(/\/+$/, "");
  const scope = [PREFIX + service, user].join("|");
  const active = pool(requests);
  const slots = pool(requests);
  const checks = pool(Math.ceil(requests / 2));
  const hashing = pool(1);
  const origins = new Set(); // those whose answers this page may read
  const listeners = new Set();
  let items = [];
  let count = 0;
  let hashes = Boolean(globalThis.crypto?.subtle);
  let auth;
  let purposes;
  let { storage } = options;
  if (storage === undefined) {
    try {
      storage = localStorage;
    } catch {
      storage = null; // the browser forbids it: nothing is kept after a reload
    }
  }

  const tell = framed(() => listeners.forEach((listener) => listener()));

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
      /* full or forbidden: the upload goes on without */
    }
  };

  // Tries until it succeeds, or until it is known that trying again does not help.
  async function persist(once, { signal, lane = slots, prepare = noop, offline = noop }) {
    for (let tries = 1; ; tries += 1) {
      try {
        const ready = await prepare();
        return await lane(() => once(ready), signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!error.again) throw error;
        if (error.url && navigator.onLine === false) {
          tries -= 1;
          offline(1);
          await online(signal).finally(() => offline(-1));
          continue;
        }
        if (tries > 1 && error.untouched && (await isForbidden(error.url)))
          throw problem("cors", `${new URL(error.url).host} answers, but not to pages of ${location.origin}.`);
        if (tries === ATTEMPTS) throw error;
        await sleep(error.retryAfter ? error.retryAfter * 1000 : Math.random() * Math.min(STALL_MS, 500 * 2 ** (tries - 1)), signal);
      }
    }
  }

  // Whether a server can be reached, but has never let this page read an answer.
  async function isForbidden(url) {
    const { origin } = new URL(url, location.href);
    if (origin === location.origin || origins.has(origin)) return false;
    return fetch(origin, { mode: "no-cors", cache: "no-store" }).then(() => true, () => false);
  }

  async function asked(method, url, request) {
    const answer = await send(method, url, request);
    origins.add(new URL(url, location.href).origin);
    return answer;
  }

  // One call of the service. A 401 asks once for another token.
  async function ask(method, path, { headers, json, ...request } = {}) {
    const url = /^https?:/.test(path) ? path : service + path;
    if (json) request.body = JSON.stringify(json);
    for (let renewed = false; ; renewed = true) {
      const current = (auth ??= (async () => (typeof options.token === "function" ? options.token() : options.token))());
      const token = await current.catch((cause) => {
        auth = undefined;
        throw problem("token-failed", `No token: ${cause?.message ?? cause}`, { cause });
      });
      const answer = await asked(method, url, {
        ...request,
        headers: {
          "Content-Type": json && "application/json",
          "Accept-Language": options.language,
          Authorization: token && `Bearer ${token}`,
          ...headers,
        },
      });
      if (answer.status === 401 && auth === current) auth = undefined;
      if (answer.status !== 401 || renewed || typeof options.token !== "function") return judged(answer);
    }
  }

  const call = (method, path, { signal, lane, offline, whole, ...request } = {}) =>
    persist(() => ask(method, path, { ...request, signal: whole ? undefined : signal }), { signal, lane, offline });

  // The purposes, asked for once; null where the service does not tell.
  const listed = () =>
    (purposes ??= call("GET", "/purposes").then(
      (answer) => answer.purposes,
      (error) => {
        purposes = undefined;
        if (error.status === 404) return null;
        throw error;
      },
    ));

  function create(file, given) {
    const { idempotencyKey, metadata } = given;
    const name = shortened(given.filename ?? file.name ?? "blob");
    const purpose = given.purpose ?? options.purpose;
    const { size } = file;
    const key =
      storage && file.name &&
      [scope, purpose, name, size, file.lastModified, file.type, JSON.stringify(metadata) ?? ""].join("|");
    const added = Date.now();
    const watching = new Set();
    const flying = new Map(); // bytes under way by part
    const urls = new Map();
    let phase = "waiting";
    let offlines = 0;
    let done = 0;
    let speed = 0;
    let sample = { at: 0, sent: 0 };
    let resumed = false;
    let failure = null;
    let result = null;
    let plan;
    let planEnds = 0;
    let begun = added;
    let arrived; // what the service says of the bytes in S3
    let control;
    let running;
    let signing;
    let promise;

    const sent = () => Math.min(size, [...flying.values()].reduce((sum, bytes) => sum + bytes, done));
    const told = framed(() => watching.forEach((listener) => listener(upload)));
    const changed = () => (told(), tell());
    const enter = (next) => ((phase = next), changed());
    const offline = (by) => ((offlines += by), changed());

    function moved() {
      const now = performance.now();
      const passed = (now - sample.at) / 1000;
      if (passed > 0.25) {
        const rate = Math.max(0, sent() - sample.sent) / passed;
        speed = passed > 10 || !speed ? (sample.at ? rate : 0) : speed * 0.8 + rate * 0.2;
        sample = { at: now, sent: sent() };
      }
      changed();
    }

    function promised() {
      promise = {};
      promise.done = new Promise((resolve, reject) => Object.assign(promise, { resolve, reject }));
      promise.done.catch(noop); // whoever does not wait for it sees `problem`
    }

    const keep = (more) =>
      key && plan?.ticket && write(key, { plan: { ...plan, parts: undefined }, name, size, begun, sent: done, ...more });

    function recall() {
      const kept = key && read(key);
      if (!kept?.plan || kept.begun < Date.now() - DAY_MS || kept.ended < added) return;
      ({ plan, begun } = kept);
      resumed = true;
    }

    async function refuse() {
      if (!size) throw problem("empty-file", "The file is empty.");
      const all = await listed();
      const taken = all && (purpose ? all.find((each) => each.name === purpose.toLowerCase()) : all[0]);
      if (!taken) return file.type;
      const type = file.type.toLowerCase().split(";")[0];
      const takes = (each) => each === "*/*" || each === type || (each.endsWith("/*") && type.startsWith(each.slice(0, -1)));
      const text = taken.texts?.[/^ko/.test(options.language ?? navigator.language) ? "ko" : "en"] ?? "";
      if (size > taken.maxBytes)
        throw problem("file-too-large", text, { max_bytes: taken.maxBytes });
      if (!taken.types.some(takes) && !taken.extensions.some((each) => name.toLowerCase().endsWith(`.${each}`)))
        throw problem("type-refused", text, { allowed: taken.types });
      return file.type || (taken.types.includes("*/*") ? "application/octet-stream" : "");
    }

    async function mint(contentType, signal) {
      const json = { filename: name, contentType, size, purpose, metadata, accepts };
      if (hashes && size <= HASHED_BYTES && accepts.includes("put")) {
        enter("hashing");
        const digest = await hashing(async () => crypto.subtle.digest("SHA-256", await checkReadable(file)), signal);
        json.sha256 = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      }
      enter("sending");
      for (;;) {
        try {
          const headers = idempotencyKey && { "Idempotency-Key": `"${idempotencyKey}"` };
          // An answer that is on its way is waited for: it may name what has to be aborted in S3.
          plan = await call("POST", "/uploads", { json, headers, signal, offline, whole: true });
          break;
        } catch (error) {
          if (error.code === "already-exists" && idempotencyKey) plan = { objectKey: error.objectKey, strategy: "none" };
          else if (json.sha256 && [400, 422].includes(error.status)) hashes = json.sha256 = undefined;
          else if (error.code === "tickets-not-configured" && json.accepts.length > 1)
            json.accepts = accepts.filter((each) => each !== "multipart" && each !== "resumable");
          else throw error;
          if (plan) break;
        }
      }
      begun = Date.now();
      planEnds = begun + plan.expiresIn * 1000 - 5000;
      for (const { partNumber, url } of plan.parts ?? []) urls.set(partNumber, url);
      keep();
      signal.throwIfAborted();
      if (!senders[plan.strategy]) throw problem("not-the-service", `No plan of a known strategy: ${plan.strategy}.`);
    }

    // Sends some of the file's bytes with one request, and counts them.
    const carry = (part, blob, once, { signal, prepare }) =>
      persist(
        async (ready) => {
          try {
            const answer = await once((loaded) => (flying.set(part, Math.min(loaded, blob.size)), moved()), ready);
            done += blob.size;
            return answer;
          } catch (error) {
            if (error.code === "network") await checkReadable(blob.slice(0, 1));
            throw error;
          } finally {
            flying.delete(part);
            moved();
          }
        },
        { signal, prepare, offline },
      );

    async function whole(_fresh, signal) {
      let body = file;
      if (plan.strategy !== "put") {
        body = new FormData();
        for (const [field, value] of Object.entries(plan.fields)) body.append(field, value);
        body.append("file", file, name);
      }
      await carry(0, file, async (onSent) => {
        const request = { body, signal, onSent, headers: plan.headers };
        if (plan.strategy === "proxy") return ask("POST", plan.formUrl, { ...request, waitMs: 10 * STALL_MS });
        const answer = await asked(plan.method, plan.presignedUrl, request);
        return answer.status === 412 && idempotencyKey ? answer : judgedByS3(answer);
      }, { signal });
    }

    async function urlOf(number, others, path, signal) {
      if (Date.now() > planEnds) urls.clear();
      if (!urls.has(number)) {
        signing = (signing ?? Promise.resolve()).catch(noop).then(async () => {
          if (urls.has(number)) return;
          const partNumbers = [number, ...others.slice(0, 99)];
          const { parts, expiresIn } = await call("POST", `${path}/parts`, { json: { partNumbers }, signal, offline });
          for (const each of parts) urls.set(each.partNumber, each.url);
          planEnds = Date.now() + expiresIn * 1000 - 5000;
        });
        await signing;
      }
      return urls.get(number);
    }

    async function parts(fresh, signal) {
      const path = `/uploads/${plan.ticket}`;
      for (let round = 0; ; round += 1) {
        let missing = Array.from({ length: plan.partCount }, (_, index) => index + 1);
        if (!fresh || round) {
          const found = await call("GET", path, { signal, offline });
          if (found.completed) return;
          missing = found.missing;
        }
        const start = (number) => (number - 1) * plan.partSize;
        const slice = (number) => file.slice(start(number), Math.min(size, start(number) + plan.partSize));
        done = missing.reduce((left, number) => left - slice(number).size, size);
        moved();
        const one = async (number, others) => {
          const blob = slice(number);
          for (let again = false; ; again = true) {
            try {
              const put = async (onSent, url) => judgedByS3(await asked("PUT", url, { body: blob, signal, onSent }));
              await carry(number, blob, put, { signal, prepare: () => urlOf(number, again ? [] : others, path, signal) });
              return keep();
            } catch (error) {
              if (again || error.code !== "s3-refused" || error.status !== 403) throw error;
              urls.delete(number);
            }
          }
        };
        const worker = async () => {
          while (missing.length) await one(missing.shift(), missing);
        };
        await Promise.all(Array.from({ length: Math.min(PARTS_AT_ONCE, requests) }, worker));
        try {
          arrived = await call("POST", `${path}/complete`, { signal, offline });
          return;
        } catch (error) {
          if (!/^parts-/.test(error.code) || round === 2) throw error;
        }
      }
    }

    async function resumable(fresh, signal) {
      const { uploadUrl, chunkSize } = plan;
      const tus = { ...plan.headers, "Tus-Resumable": "1.0.0" };
      let offset = fresh ? 0 : null;
      const prepare = async () => {
        offset ??= Number((await call("HEAD", uploadUrl, { headers: tus, signal, offline })).header("Upload-Offset"));
        done = offset;
        return file.slice(offset, chunkSize ? Math.min(size, offset + chunkSize) : size);
      };
      while (offset !== size) {
        const body = await prepare();
        const headers = { ...tus, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
        await carry(offset, body, async (onSent) => {
          await ask("PATCH", uploadUrl, { headers, body, signal, onSent });
        }, { signal });
        offset += body.size;
        keep();
      }
    }

    const senders = { put: whole, post: whole, proxy: whole, multipart: parts, resumable, none: noop };

    async function transfer(signal) {
      const contentType = await refuse();
      for (let begins = 0; ; begins += 1) {
        if (!plan) recall();
        const fresh = !plan || (!plan.ticket && Date.now() > planEnds);
        if (fresh) await mint(contentType, signal);
        enter("sending");
        try {
          await senders[plan.strategy](fresh, signal);
          return keep({ ended: Date.now() });
        } catch (error) {
          const lost = GONE.includes(error.code) || error.status === 404 || (error.code === "s3-refused" && error.status === 403 && !plan.ticket);
          if (signal.aborted || !lost || begins) throw error;
          plan = undefined;
          urls.clear();
          if (key) write(key);
        }
      }
    }

    async function check(signal) {
      enter("checking");
      const path = `/images/${plan.objectKey.split("/").map(encodeURIComponent).join("/")}`;
      let facts;
      for (;;) {
        const wait = checks.waiting.length ? 1 : 20;
        facts = await call("POST", `${path}/complete?wait=${wait}`, { signal, offline, lane: checks }).catch((error) => {
          if (error.code === "not-found" || error.status === 405) return {}; // an older service
          throw error;
        });
        if (facts.status !== 202) break;
        await sleep(2000, signal);
      }
      let url = facts.cdn_url ?? plan.cdnUrl ?? null;
      // A token with the scope `mint` may not read.
      url ??= await call("GET", path, { signal, offline }).then((answer) => answer.url, () => null);
      signal.throwIfAborted();
      const { width, height, placeholder } = facts.facts ?? {};
      result = {
        key: plan.objectKey,
        url,
        size: facts.size ?? size,
        contentType: facts.content_type ?? file.type,
        etag: facts.etag ?? arrived?.etag,
        width,
        height,
        thumbhash: placeholder,
        variants: facts.variants,
        receipt: facts.receipt,
      };
    }

    function start() {
      const before = running;
      control = new AbortController();
      const { signal } = control;
      enter("waiting");
      running = (async () => {
        await before;
        try {
          if (!arrived) {
            await alone(key, signal, () => active(() => transfer(signal), signal));
            arrived ??= {};
          }
          await check(signal);
          enter("stored");
          promise.resolve(result);
        } catch (error) {
          if (signal.aborted) return;
          control.abort();
          failure = error instanceof UploadProblem ? error : problem("internal", String(error), { cause: error });
          enter("failed");
          promise.reject(failure);
        }
      })();
    }

    const upload = {
      id: String((count += 1)),
      file,
      name,
      size,
      type: file.type,
      purpose,
      get state() {
        return offlines && !OVER.includes(phase) && phase !== "paused" ? "offline" : phase;
      },
      get sent() {
        return OVER.includes(phase) && phase === "stored" ? size : sent();
      },
      get speed() {
        return phase === "sending" ? speed : 0;
      },
      get secondsLeft() {
        return phase === "sending" && speed ? (size - sent()) / speed : null;
      },
      get resumed() {
        return resumed;
      },
      get problem() {
        return failure;
      },
      get result() {
        return result;
      },
      get done() {
        return promise.done;
      },
      subscribe(listener) {
        watching.add(listener);
        return () => watching.delete(listener);
      },
      pause() {
        if (OVER.includes(phase) || phase === "paused") return;
        control.abort();
        enter("paused");
      },
      resume() {
        if (phase === "paused") start();
      },
      cancel() {
        if (phase === "stored" || phase === "cancelled") return;
        control.abort();
        failure = problem("cancelled", "The upload was cancelled.");
        promise.reject(failure);
        enter("cancelled");
        running.then(() => {
          if (plan?.ticket && !arrived) abort(plan);
          if (key) write(key);
        });
      },
      retry() {
        if (phase !== "failed" && phase !== "cancelled") return;
        if (phase === "cancelled") plan = undefined;
        failure = null;
        promised();
        start();
      },
    };
    promised();
    start();
    return upload;
  }

  const abort = ({ ticket, uploadUrl }) =>
    call("DELETE", uploadUrl ?? `/uploads/${ticket}`, { headers: uploadUrl && { "Tus-Resumable": "1.0.0" } }).catch(noop);

  function add(file, given = {}) {
    const upload = create(file, given);
    items = [...items, upload];
    tell();
    return upload;
  }

  async function addAll(source, given) {
    if (!source.items?.length) return Array.from(source.files ?? source, (file) => add(file, given));
    // Entries are there only until the event is over.
    const entries = [...source.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
    const found = [];
    for (const entry of entries) found.push(...(entry instanceof File ? [entry] : await filesIn(entry)));
    return found.map((file) => add(file, given));
  }

  function unfinished() {
    let keys = [];
    try {
      keys = Object.keys(storage).filter((key) => key.startsWith(`${scope}|`));
    } catch {
      /* none */
    }
    const found = [];
    for (const key of keys) {
      const kept = read(key);
      if (!kept?.plan || kept.ended || kept.begun < Date.now() - DAY_MS) write(key);
      else found.push({ key, name: kept.name, size: kept.size, sentBytes: kept.sent, startedAt: kept.begun });
    }
    return found.sort((one, other) => other.startedAt - one.startedAt);
  }

  const each = (deed) => () => items.forEach((upload) => upload[deed]());

  return {
    add,
    addAll,
    unfinished,
    get items() {
      return items;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    forget({ key }) {
      const kept = read(key);
      write(key);
      if (kept?.plan) abort(kept.plan);
      tell();
    },
    remove(upload) {
      upload.cancel();
      items = items.filter((other) => other !== upload);
      tell();
    },
    pause: each("pause"),
    resume: each("resume"),
    close: each("pause"),
  };
}
