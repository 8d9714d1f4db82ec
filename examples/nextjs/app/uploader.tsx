"use client";

import { useUploads } from "image-upload-client/react";
import { useRouter } from "next/navigation";
import { useEffect } from "react";
import { uploadToken } from "./actions";

export function Uploader({ service, user }: { service: string; user: string }) {
  // With metadata, even none of its own, the file's name is stored.
  const options = { service, user, token: uploadToken, metadata: {} };
  const { items, queue, dropProps, inputProps, dragging, announcement } = useUploads(options);
  const stored = items.filter(({ state }) => state === "stored").length;
  const router = useRouter();
  useEffect(() => router.refresh(), [router, stored]);

  return (
    <section {...dropProps} className={dragging ? "drop over" : "drop"}>
      <label className="button">
        Choose pictures <input {...inputProps} accept="image/jpeg,image/png,image/webp,image/avif" />
      </label>
      <p>or drop them here</p>
      <ul>
        {items.map((upload) => (
          <li key={upload.id}>
            <span>{upload.name}</span>
            <progress aria-label={upload.name} value={upload.sent} max={upload.size} />
            <span>{upload.problem?.detail ?? upload.state}</span>
            <button onClick={() => queue.remove(upload)} aria-label={`Remove ${upload.name}`}>×</button>
          </li>
        ))}
      </ul>
      <p role="status">{announcement}</p>
    </section>
  );
}
