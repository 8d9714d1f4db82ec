/** The version of this module; the service serves the same one at `GET /client.js`. */
export const VERSION: string;

/**
 * Make a queue of uploads to the service. It sends nothing before the first file is added, so it may also be made while
 * a server renders the page.
 */
export function uploads(options: UploadsOptions): Queue;

export interface UploadsOptions {
  /** Address of the service; "" is the page's own origin. */
  service: string;
  /**
   * The bearer token, or a function that returns it. The function is asked before the first call and, after an answer
   * of 401, once more.
   */
  token?: string | (() => string | null | undefined | Promise<string | null | undefined>) | undefined;
  /** Purpose of files that name none. Without it: the service's first. */
  purpose?: string | undefined;
  /** Stored with each file that names none of its own. `{}` stores the standard ones, such as the file's name. */
  metadata?: Record<string, string>;
  /** Requests at once for all files, 6 if left out. A file in parts has at most 4 of them. */
  requests?: number | undefined;
  /** What the client may be told to do; all five if left out. */
  accepts?: Array<"put" | "post" | "multipart" | "resumable" | "proxy"> | undefined;
  /** Id of the signed-in user, so that users of one browser do not resume each other's uploads. */
  user?: string | undefined;
  /** Where uploads are noted that go on after a reload. Without it: localStorage. null: nowhere. */
  storage?: Storage | null | undefined;
  /** Language of the service's problems, such as "ko". Without it: the browser's. */
  language?: string | undefined;
  /** Returns headers for a request to the service, such as `traceparent`. S3 gets none of them. */
  headers?: (() => Record<string, string>) | undefined;
}

export interface FileOptions {
  purpose?: string | undefined;
  /** Name of a Blob, or another one than the file's. */
  filename?: string | undefined;
  /** Stored with the object. */
  metadata?: Record<string, string> | undefined;
  /** The same key gives the same object: for uploads that your own code repeats. */
  idempotencyKey?: string | undefined;
}

export interface Queue {
  /** Begin to send a file as soon as there is a free place for it. */
  add(file: File | Blob, options?: FileOptions): Upload;
  /** Add the files of an input, a drop (with folders) or a list. Call it in the event: a drop is empty after it. */
  addAll(source: FileList | DataTransfer | Iterable<File>, options?: FileOptions): Promise<Upload[]>;
  /** All uploads that were added and not removed; another array after each change. */
  readonly items: readonly Upload[];
  /** Call a function when uploads were added, removed or have changed, at most 20 times a second. Returns the end of it. */
  subscribe(listener: () => void): () => void;
  /** What earlier visits left, newest first. It goes on when the same file is added again, within a day. */
  unfinished(): Pending[];
  /** Abort such an upload in S3, and drop it. */
  forget(pending: Pending): void;
  /** Take an upload off the list; cancel it if it is not over. */
  remove(upload: Upload): void;
  pause(): void;
  resume(): void;
  /** Stop what is under way. What has a ticket can go on later. */
  close(): void;
}

export type State =
  | "waiting"
  | "hashing"
  | "sending"
  | "paused"
  | "offline"
  | "checking"
  | "stored"
  | "failed"
  | "cancelled";

export interface Upload {
  readonly id: string;
  readonly file: File | Blob;
  /** In Unicode's composed form, and of at most 255 characters. */
  readonly name: string;
  readonly size: number;
  readonly type: string;
  readonly purpose: string | undefined;
  readonly state: State;
  /** Bytes. It falls only when a request is sent again. */
  readonly sent: number;
  /** Bytes a second: a moving average. */
  readonly speed: number;
  readonly secondsLeft: number | null;
  /** Whether an earlier visit has begun it. */
  readonly resumed: boolean;
  readonly problem: UploadProblem | null;
  readonly result: Stored | null;
  /** Call a function when this upload has changed, at most 20 times a second. Returns the end of it. */
  subscribe(listener: (upload: Upload) => void): () => void;
  pause(): void;
  resume(): void;
  /** Stop it, and abort it in S3. A file that was stored stays. */
  cancel(): void;
  /** Begin a failed upload again; what S3 has of it is not sent again. */
  retry(): void;
  /** What was stored; or an UploadProblem. It may be left alone: nothing is raised then. */
  readonly done: Promise<Stored>;
}

export interface Stored {
  /** For `GET /images/{key}` of the service. */
  key: string;
  /** Of the CDN, or presigned and valid for 15 minutes; null where the token may not read. */
  url: string | null;
  size: number;
  contentType?: string;
  etag?: string;
  width?: number;
  height?: number;
  /** Base64 of a picture's ThumbHash. */
  thumbhash?: string;
  /** Smaller pictures by name, each with its URL on the CDN, null without one. */
  variants?: Record<string, string | null>;
  /** Their keys by name, for `GET /images/{key}`. */
  variantKeys?: Record<string, string>;
  receipt?: string;
}

export interface Pending {
  readonly key: string;
  readonly name: string;
  readonly size: number;
  /** What it was added with; only with the same it goes on. */
  readonly purpose?: string;
  readonly metadata?: Record<string, string>;
  readonly sentBytes?: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

/** Codes that do not come from the service. */
export type ClientCode =
  | "network"
  | "stalled"
  | "cors"
  | "not-the-service"
  | "signed-out"
  | "token-failed"
  | "empty-file"
  | "type-refused"
  | "file-too-large"
  | "file-changed"
  | "file-unreadable"
  | "s3-refused"
  | "cancelled"
  | "internal";

export class UploadProblem extends Error {
  /** One of `ClientCode`, or a code of the service's errors. */
  readonly code: ClientCode | (string & {});
  /** A sentence for the user. */
  readonly detail: string;
  /** Status of the answer; 0 where there was none. */
  readonly status: number;
  /** Whether `retry()` may help with nothing else changed. */
  readonly again: boolean;
  /** Seconds that the service asks to wait. */
  readonly retryAfter?: number;
  readonly remedy?: string;
  /** Further members of the service's problem document, such as `max_bytes` or `request_id`. */
  readonly [member: string]: unknown;
}
