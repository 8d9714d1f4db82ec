import "server-only";
import { SignJWT } from "jose";
import { service, tokenSecret } from "./settings";

export type StoredFile = { key: string; name: string; url: string | null; isPicture: boolean };

/** A token for the service as this user, or null where the service asks for none. */
export async function tokenFor(user: string, scope: "mint" | null, expires: string): Promise<string | null> {
  if (!tokenSecret) return null;
  return new SignJWT(scope ? { scope } : {})
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setExpirationTime(expires)
    .sign(tokenSecret);
}

/** Ask the service as this user. The token of this server may read and delete, so it never leaves it. */
async function ask(user: string, path: string, init: RequestInit = {}): Promise<Response> {
  const token = await tokenFor(user, null, "1m");
  const headers = new Headers(init.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  return fetch(service + path, { ...init, headers, cache: "no-store", signal: AbortSignal.timeout(10_000) });
}

const pathOf = (key: string) => `/images/${key.split("/").map(encodeURIComponent).join("/")}`;

/** The user's newest files; null while the service cannot be reached. */
export async function filesOf(user: string, most = 12): Promise<StoredFile[] | null> {
  try {
    const answer = await ask(user, "/api/v1/s3/files?max_keys=1000");
    if (!answer.ok) return null;
    const { files } = (await answer.json()) as { files: { key: string; last_modified: string }[] };
    files.sort((one, other) => other.last_modified.localeCompare(one.last_modified));
    return Promise.all(files.slice(0, most).map(({ key }) => described(user, key)));
  } catch {
    return null;
  }
}

async function described(user: string, key: string): Promise<StoredFile> {
  const [metadata, read] = await Promise.all([ask(user, `${pathOf(key)}/metadata`), ask(user, pathOf(key))]);
  const facts = metadata.ok ? await metadata.json() : {};
  const { url } = read.ok ? await read.json() : { url: null };
  return {
    key,
    name: facts.metadata?.original_filename ?? key.split("/").at(-1),
    url,
    isPicture: /^image\//.test(facts.content_type ?? ""),
  };
}

export async function remove(user: string, key: string): Promise<boolean> {
  return (await ask(user, pathOf(key), { method: "DELETE" })).ok;
}
