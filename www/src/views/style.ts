// How curves are drawn: the controls above them.

import type { ChartStyle } from "../chart";
import { h } from "../element";

export function styleControls(style: ChartStyle, onchange: (style: ChartStyle) => void): HTMLElement {
  const log = h("input", { type: "checkbox", checked: style.log });
  const smoothing = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: style.smoothing });
  const change = () => onchange({ log: log.checked, smoothing: smoothing.valueAsNumber });
  log.addEventListener("change", change);
  smoothing.addEventListener("input", change);
  return h(
    "div",
    { class: "controls" },
    h("label", {}, log, " log scale"),
    h("label", {}, "smoothing ", smoothing),
  );
}
