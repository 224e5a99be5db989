// What a comparison came to, as a table.

import { h } from "../element";
import { bytes, count, duration } from "../format";
import type { ArmSummary, Comparison, Interval } from "../lab-protocol";

export function resultTable({ start, common_tokens, arms }: Comparison): HTMLElement {
  const first = arms[0]?.arm.name ?? "";
  const head = [
    "objective",
    "at equal tokens",
    `less ${first}’s`,
    "at the end",
    "time of a run",
    "GPU memory",
  ];
  const row = (summary: ArmSummary) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", text: summary.arm.name }),
      ...[
        share(summary.at_common_tokens),
        summary.difference ? points(summary.difference) : "",
        share(summary.accuracy) + (summary.failed > 0 ? ` (${summary.failed} failed)` : ""),
        summary.seconds.mean === null ? "–" : duration(summary.seconds.mean),
        summary.peak_bytes > 0 ? bytes(summary.peak_bytes) : "–",
      ].map((text) => h("td", { class: "number", text })),
    );
  const equal =
    common_tokens === null ? "" : ` Equal tokens: ${count(Math.round(common_tokens))} trained on.`;
  return h(
    "div",
    {},
    h("p", {
      class: "help",
      text: `Accuracy on held-out problems; at the start ${share(start)}.${equal} Means over seeds with 95% intervals, which need two seeds and are wide with few.`,
    }),
    wideTable(head, arms.map(row)),
  );
}

/** A table that is scrolled where it is wider than the page. */
export function wideTable(head: string[], rows: HTMLElement[]): HTMLElement {
  return h(
    "div",
    { class: "wide", tabindex: 0, role: "region", "aria-label": head.join(", ") },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col", text })))),
      h("tbody", {}, ...rows),
    ),
  );
}

/** `83.2% ± 4.1`. */
export function share({ mean, high }: Interval): string {
  return mean === null ? "–" : `${(100 * mean).toFixed(1)}%${half(mean, high)}`;
}

/** `+2.0 ± 4.1`, in points of a hundred. */
export function points({ mean, high }: Interval): string {
  if (mean === null) return "–";
  const sign = mean < 0 ? "−" : "+";
  return `${sign}${Math.abs(100 * mean).toFixed(1)}${half(mean, high)}`;
}

/** Half the width of an interval around its mean. */
function half(mean: number, high: number | null): string {
  return high === null ? "" : ` ± ${(100 * (high - mean)).toFixed(1)}`;
}
