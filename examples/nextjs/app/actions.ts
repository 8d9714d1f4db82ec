"use server";

import { revalidatePath } from "next/cache";
import { remove, tokenFor } from "@/lib/service";
import { currentUser, endSession, startSession } from "@/lib/session";

/** A token that can upload as the signed-in user for ten minutes, and do nothing else. */
export async function uploadToken(): Promise<string | null> {
  const user = await currentUser();
  if (!user) throw new Error("Sign in first.");
  return tokenFor(user, "mint", "10m");
}

export async function deleteFile(form: FormData): Promise<void> {
  const user = await currentUser();
  const key = form.get("key");
  // The service refuses the key of another user.
  if (user && typeof key === "string") await remove(user, key);
  revalidatePath("/");
}

/** Your application has a real sign-in here. This one believes any name, so it exists in development alone. */
export async function signIn(form: FormData): Promise<void> {
  const name = form.get("name");
  if (typeof name === "string" && /^[a-z0-9-]{1,40}$/.test(name)) await startSession(name);
}

export async function signOut(): Promise<void> {
  await endSession();
}
