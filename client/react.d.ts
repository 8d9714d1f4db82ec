import type { ChangeEventHandler, DragEventHandler } from "react";
import type { Queue, Upload, UploadsOptions } from "./upload.js";

export * from "./upload.js";

export interface HookOptions extends UploadsOptions {
  /** The text of the live region, in place of the English one. */
  announce?: ((items: readonly Upload[]) => string) | undefined;
}

export interface Uploads {
  readonly queue: Queue;
  /** The same objects at each rendering, whose fields change: do not memoize a row by its upload. */
  readonly items: readonly Upload[];
  readonly add: Queue["add"];
  readonly addAll: Queue["addAll"];
  /** Whether files are held over the drop area. */
  readonly dragging: boolean;
  /** Text for an element with `role="status"`: at the start, at half, at the end, and at each failure. */
  readonly announcement: string;
  /** For the element that files are dropped on. Keep an input beside it, for the keyboard. */
  readonly dropProps: Record<"onDragEnter" | "onDragOver" | "onDragLeave" | "onDrop", DragEventHandler>;
  /** For an `<input>`; give it a label. */
  readonly inputProps: { type: "file"; multiple: true; onChange: ChangeEventHandler<HTMLInputElement> };
}

/**
 * Upload files from a component.
 *
 * With options it makes a queue at the first rendering, and stops it when the component is removed; later options are
 * not read, but for `token` and `announce`. With a queue it only shows that one: make the queue outside, and
 * uploads go on when the component is gone.
 */
export function useUploads(options: HookOptions | Queue): Uploads;
