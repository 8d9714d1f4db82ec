import { Suspense } from "react";
import { currentUser } from "@/lib/session";
import { service } from "@/lib/settings";
import { signIn, signOut } from "./actions";
import { Gallery } from "./gallery";
import { Uploader } from "./uploader";

export default async function Page() {
  const user = await currentUser();
  if (!user)
    return (
      <form action={signIn}>
        <label>
          Your name <input name="name" required pattern="[a-z0-9-]{1,40}" title="a to z, 0 to 9 and -" autoComplete="username" />
        </label>
        <button className="button">Sign in</button>
      </form>
    );
  return (
    <>
      <form action={signOut} className="who">
        {user} <button>Sign out</button>
      </form>
      <Uploader service={service} user={user} />
      <h2>Your pictures</h2>
      <Suspense fallback={<p>Loading …</p>}>
        <Gallery user={user} />
      </Suspense>
    </>
  );
}
