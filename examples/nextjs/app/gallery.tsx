import { isConfirmed } from "@/lib/confirmed";
import { filesOf } from "@/lib/service";
import { service } from "@/lib/settings";
import { deleteFile } from "./actions";

export async function Gallery({ user }: { user: string }) {
  const files = await filesOf(user);
  if (!files) return <p role="alert">The upload service at {service} cannot be reached. Start it with `make dev`.</p>;
  if (!files.length) return <p>Nothing here yet.</p>;
  return (
    <ul className="gallery">
      {files.map(({ key, name, url, isPicture }) => (
        <li key={key}>
          {/* A presigned URL changes with every rendering, so next/image could cache nothing of it. */}
          {url && isPicture ? <img src={url} alt={name} loading="lazy" /> : <div className="blank" />}
          <a href={url ?? undefined}>{name}</a>
          {isConfirmed(key) && <small>confirmed by webhook</small>}
          <form action={deleteFile}>
            <input type="hidden" name="key" value={key} />
            <button aria-label={`Delete ${name}`}>Delete</button>
          </form>
        </li>
      ))}
    </ul>
  );
}
