import "server-only";

type Confirmed = { owner: string | null; size: number; type: string };

// Of this process, and kept while `next dev` loads the module anew. Your application has a table, with the event's id
// as a unique column, so that an event that comes twice is handled once.
const kept = globalThis as { confirmed?: Map<string, Confirmed>; events?: Set<string> };
const confirmed = (kept.confirmed ??= new Map());
const events = (kept.events ??= new Set());

/** Whether this event is new. */
export function isNew(event: string): boolean {
  if (events.has(event)) return false;
  events.add(event);
  return true;
}

/** Note a file that the service has signed for. */
export function confirm(key: string, what: Confirmed): void {
  confirmed.set(key, what);
}

export const isConfirmed = (key: string): boolean => confirmed.has(key);
