// Who is here, and the calls of the service.
import { notice } from "./notices.js";
import { setup, text } from "./texts.js";

export const base = new URL("../..", import.meta.url).href.replace(/\/$/, "");

// A token stays in this tab. It is put into the tab's storage only while the page is left, so that it outlives a reload,
// and a copy of the tab has none: a refresh token works once.
const KEPT = "upload-session";
export let session = null;
let renewal = null;
export const maySeeFiles = () => !setup.filesNeedToken || session !== null;

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

export async function token() {
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

// Takes a token that was typed in.
export function enterWith(typed) {
  const access = typed.trim().replace(/^Bearer\s+/i, "");
  session = { access, id: subjectOf(access) };
  notice("ended");
}

function subjectOf(jwt) {
  try {
    return String(JSON.parse(atob(jwt.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub);
  } catch {
    return "";
  }
}

export function leave(sentence) {
  session = null;
  notice("ended", { title: sentence });
  dispatchEvent(new Event("signedout"));
}

const base64url = (data) => btoa(String.fromCharCode(...new Uint8Array(data))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

export async function signIn(provider) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  kept((storage) => storage.setItem("verifier", verifier));
  const challenge = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  location.assign(`${base}/auth/oauth/${provider}?code_challenge=${challenge}`);
}

// Goes on with the session of the page that this one replaces, or ends a sign-in, if the address says that one led here (docs/sign-in.md).
export async function comeBack() {
  session = JSON.parse(taken(KEPT) ?? "null");
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

export async function signOut() {
  const { refresh } = session;
  leave(text("signed_out"));
  if (refresh) await call("POST", "/auth/logout", { refresh_token: refresh }, false).catch(() => {});
}

// Returns the JSON of an answer. Throws its problem document, or one of the client's own codes.
export async function call(method, path, body, signed = true) {
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

export const inPath = (key) => key.split("/").map(encodeURIComponent).join("/");
export const urlOf = async (key, query = "") => (await call("GET", `/api/v1/s3/file/${inPath(key)}/url${query}`)).url;
