// The files of a run, as what the page draws.

import type { History } from "../protocol";

/** The objects of a JSONL text. A line that a crash left half-written is no object. */
export function linesOf(text: string): Record<string, unknown>[] {
  const objects: Record<string, unknown>[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith("{")) continue;
    try {
      objects.push(JSON.parse(line));
    } catch {
      // Half a line.
    }
  }
  return objects;
}

/** Numbers by name, one per line; NaN where a line lacks one. */
export function columnsOf(lines: Record<string, unknown>[]): Record<string, Float64Array> {
  const columns: Record<string, Float64Array> = {};
  lines.forEach((line, i) => {
    for (const [key, value] of Object.entries(line)) {
      if (typeof value !== "number") continue;
      columns[key] ??= new Float64Array(lines.length).fill(Number.NaN);
      columns[key][i] = value;
    }
  });
  return columns;
}

/** The accuracy after each stage of the demo: what `stages.json` says of those that are over. */
export function stagesOf(stages: unknown): History["accuracy"] {
  if (!Array.isArray(stages)) return [];
  return stages.flatMap(({ stage, accuracy }) =>
    typeof accuracy?.mean === "number"
      ? [{ stage: String(stage), mean: accuracy.mean, stderr: accuracy.stderr }]
      : [],
  );
}
