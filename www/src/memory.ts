// Which runs there should be: what the browser has evicted is missing from its storage, but not from here.

import type { Fault, RunInfo } from "./protocol";

const KEY = "tbrm.kept";

/** Remembers the runs that are kept; a fault names those that are gone without having been deleted. */
export function remembered(runs: RunInfo[]): Fault | undefined {
  const kept = runs.filter(({ served }) => !served);
  const gone = lost(known(), kept);
  localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(kept.map(({ id, name }) => [id, name]))));
  if (gone.length === 0) return undefined;
  return {
    kind: "store",
    what: `the browser has evicted runs to free space: ${gone.join(", ")}`,
    help: "they cannot be brought back; download what matters under Keep, and allow this site to keep its data if the browser asks",
  };
}

/** The run is about to be deleted. */
export function forget(id: string): void {
  const { [id]: _, ...others } = known();
  localStorage.setItem(KEY, JSON.stringify(others));
}

/** The names of the runs that are known, and not there. */
export function lost(known: Record<string, string>, runs: Pick<RunInfo, "id">[]): string[] {
  const there = new Set(runs.map(({ id }) => id));
  return Object.entries(known).flatMap(([id, name]) => (there.has(id) ? [] : [`“${name}”`]));
}

function known(): Record<string, string> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {};
  } catch {
    return {};
  }
}
