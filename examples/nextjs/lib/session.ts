import "server-only";
import { jwtVerify, SignJWT } from "jose";
import { cookies } from "next/headers";
import { sessionSecret } from "./settings";

const COOKIE = "session";
const HOURS = 12;

/** The id of the signed-in user; null for a visitor. Your application asks its own sign-in instead. */
export async function currentUser(): Promise<string | null> {
  const text = (await cookies()).get(COOKIE)?.value;
  if (!text) return null;
  try {
    const { payload } = await jwtVerify(text, sessionSecret, { algorithms: ["HS256"] });
    return payload.sub ?? null;
  } catch {
    return null;
  }
}

export async function startSession(user: string): Promise<void> {
  const token = await new SignJWT()
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setExpirationTime(`${HOURS}h`)
    .sign(sessionSecret);
  (await cookies()).set(COOKIE, token, {
    httpOnly: true,
    sameSite: "lax",
    secure: process.env.NODE_ENV === "production",
    maxAge: HOURS * 3600,
  });
}

export async function endSession(): Promise<void> {
  (await cookies()).delete(COOKIE);
}
