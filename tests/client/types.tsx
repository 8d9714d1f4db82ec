// Every call and field of the package, as an application writes them. test_published.py compiles it and does not run it.
import { UploadProblem, VERSION, uploads } from "image-upload-client";
import type { ClientCode, FileOptions, Pending, Queue, State, Stored, Upload, UploadsOptions } from "image-upload-client";
import { uploads as uploadsOfTheHook, useUploads } from "image-upload-client/react";
import type { HookOptions, Uploads } from "image-upload-client/react";
import manifest from "image-upload-client/package.json" with { type: "json" };

const version: string = VERSION;
const published: string = manifest.version;

// Options.
const options: UploadsOptions = {
  service: "https://uploads.example.com",
  token: async () => "a token",
  purpose: "file",
  requests: 4,
  accepts: ["put", "post", "multipart", "resumable", "proxy"],
  user: "user-1",
  storage: sessionStorage,
  language: "ko",
};
const queue: Queue = uploads(options);
const tokens: UploadsOptions["token"][] = [undefined, "a token", () => "a token", () => null, async () => undefined];
uploads({ service: "", storage: null, token: tokens[0] });
uploadsOfTheHook({ service: "" }).close();
// @ts-expect-error The service is required.
uploads({});
// @ts-expect-error An unknown option.
uploads({ service: "", retries: 3 });
// @ts-expect-error An unknown strategy.
uploads({ service: "", accepts: ["ftp"] });
// @ts-expect-error A token is text.
uploads({ service: "", token: () => 1 });

// The queue.
const given: FileOptions = { purpose: "file", filename: "a.bin", metadata: { album: "1" }, idempotencyKey: "a-key" };
const upload: Upload = queue.add(new File([], "a.bin"), given);
queue.add(new Blob([]));
// @ts-expect-error A path is no file.
queue.add("a.bin");
// @ts-expect-error Metadata is text.
queue.add(new Blob([]), { metadata: { album: 1 } });

async function chosen(input: HTMLInputElement, drop: DragEvent): Promise<Upload[]> {
  const [list, transfer] = [input.files, drop.dataTransfer];
  return [
    ...(list ? await queue.addAll(list) : []),
    ...(transfer ? await queue.addAll(transfer, given) : []),
    ...(await queue.addAll([new File([], "a.bin")])),
  ];
}
// @ts-expect-error A promise has no length.
queue.addAll([]).length;

const end: () => void = queue.subscribe(() => queue.items.map(({ id }) => id));
// @ts-expect-error The list is replaced, and not changed.
queue.items.push(upload);
queue.pause();
queue.resume();
queue.remove(upload);
queue.close();

const left = queue.unfinished().map((pending: Pending) => {
  const { key, name, size, purpose, metadata, sentBytes, startedAt } = pending;
  const album: string | undefined = metadata?.album;
  // @ts-expect-error It is not known for each.
  const all: number = sentBytes;
  queue.forget(pending);
  return [key, name, purpose ?? album, size / (sentBytes ?? all), new Date(startedAt)] as const;
});

// An upload.
const LABELS: Record<State, string> = {
  waiting: "", hashing: "", sending: "", paused: "", offline: "", checking: "", stored: "", failed: "", cancelled: "",
};

function row(each: Upload): string {
  const part: number = each.sent / each.size;
  // @ts-expect-error It is null where it is not known.
  const seconds: number = each.secondsLeft;
  const time = `${each.secondsLeft?.toFixed() ?? seconds} s at ${each.speed.toFixed()}`;
  const file: Blob = each.file;
  return [each.id, each.name, each.type || file.type, each.purpose, LABELS[each.state], part, time, each.resumed].join();
}
const endOfOne: () => void = upload.subscribe((each) => row(each));
// @ts-expect-error No such state.
const wrong: boolean = upload.state === "done";
// @ts-expect-error Read only.
upload.state = "stored";
upload.pause();
upload.resume();
upload.cancel();
upload.retry();

async function stored(): Promise<string> {
  const result: Stored = await upload.done;
  const { key, url, size, contentType, etag, width, height, thumbhash, variants, variantKeys, receipt } = result;
  const small: string | null | undefined = variants?.small ?? variantKeys?.small;
  // @ts-expect-error It is null where the token may not read.
  url.length;
  // @ts-expect-error Only a picture has it.
  width.toFixed();
  return [key, url, size, contentType, etag, (width ?? 0) * (height ?? 0), thumbhash, small, receipt].join();
}

function told(problem: UploadProblem | null): string {
  if (!(problem instanceof Error)) return upload.result?.key ?? "";
  const known: ClientCode[] = ["network", "stalled", "cors", "not-the-service", "signed-out", "token-failed"];
  known.push("empty-file", "type-refused", "file-too-large", "file-changed", "file-unreadable", "s3-refused");
  known.push("cancelled", "internal");
  const ofTheService: boolean = problem.code === "quota-exceeded";
  const { code, detail, status, again, retryAfter, remedy, max_bytes: largest } = problem;
  // @ts-expect-error A member of the problem document may be anything.
  const bytes: number = largest;
  return [code, detail, status, again, retryAfter, remedy, bytes, ofTheService, known.includes("cors")].join();
}
told(upload.problem);
upload.done.catch((cause: unknown) => (cause instanceof UploadProblem ? told(cause) : undefined));

// React.
function Files({ service }: { service: string }) {
  const hook: HookOptions = { service, announce: (items) => `${items.length} files` };
  const found: Uploads = useUploads(hook);
  const { items, add, addAll, dragging, announcement, dropProps, inputProps } = found;
  const label: string = found.queue === queue ? version : published;
  // @ts-expect-error It has the properties of one input.
  inputProps.value;
  return (
    <section {...dropProps} className={dragging ? "over" : label}>
      <input {...inputProps} aria-label="Files" />
      <button onClick={() => void [add(new Blob([])), addAll([])]}>Add</button>
      {items.map((each) => (
        <progress key={each.id} value={each.sent} max={each.size} onClick={each.pause} />
      ))}
      <p role="status">{announcement}</p>
    </section>
  );
}
const ofOneQueue = () => useUploads(queue).announcement;
// @ts-expect-error Neither options nor a queue.
const ofNothing = () => useUploads();

export { Files, chosen, end, endOfOne, left, ofNothing, ofOneQueue, stored, wrong };
