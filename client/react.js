// Uploads in a React component. react.d.ts says what the hook returns; docs/client.md shows it.
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { uploads } from "./upload.js";

export * from "./upload.js";

const files = (count) => `${count} ${count === 1 ? "file" : "files"}`;

// What a live region says: how many files were begun, that half of them are done, that all are, and each failure.
function english(items) {
  const stored = items.filter(({ state }) => state === "stored").length;
  const failed = items.filter(({ state }) => state === "failed");
  const left = items.filter(({ state }) => state !== "cancelled").length - stored - failed.length;
  if (!stored && !failed.length && !left) return "";
  const faults = failed.map(({ name, problem }) => `${name} failed: ${problem.detail}`);
  const all = stored + failed.length + left;
  const begun = stored * 2 < all ? `Uploading ${files(all)}.` : `Half of ${files(all)} stored.`;
  return [left ? begun : `${files(stored)} stored.`, ...faults].join(" ");
}

export function useUploads(given) {
  const isQueue = "addAll" in given;
  const latest = useRef(given);
  latest.current = given;
  // The queue is made once; the token may change with each rendering.
  const token = () => (typeof latest.current.token === "function" ? latest.current.token() : latest.current.token);
  const [own] = useState(() => (isQueue ? null : uploads({ ...given, token })));
  const queue = isQueue ? given : own;

  const [subscribe, version] = useMemo(() => {
    let changes = 0;
    const listen = (told) => queue.subscribe(() => ((changes += 1), told()));
    return [listen, () => changes];
  }, [queue]);
  useSyncExternalStore(subscribe, version, () => 0);
  useEffect(() => () => own?.close(), [own]);

  const [over, setOver] = useState(0); // elements of the drop area that the pointer is over
  const { items } = queue;
  const hasFiles = ({ dataTransfer }) => dataTransfer.types.includes("Files");

  return {
    queue,
    items,
    add: queue.add,
    addAll: queue.addAll,
    dragging: over > 0,
    announcement: (given.announce ?? english)(items),
    dropProps: {
      onDragEnter: (event) => hasFiles(event) && setOver((count) => count + 1),
      onDragLeave: (event) => hasFiles(event) && setOver((count) => count - 1),
      onDragOver: (event) => hasFiles(event) && event.preventDefault(),
      onDrop(event) {
        if (!hasFiles(event)) return;
        event.preventDefault();
        setOver(0);
        queue.addAll(event.dataTransfer);
      },
    },
    inputProps: {
      type: "file",
      multiple: true,
      onChange({ target }) {
        queue.addAll(target.files);
        target.value = ""; // so that the same file can be chosen again
      },
    },
  };
}
