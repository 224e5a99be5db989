// Points against the diagonal that TBRM drives them to, as SVG.

import { fill, h } from "./element";
import { short } from "./format";
import type { Point } from "./look";

const SIZE = 320;
const MARGIN = { left: 46, right: 12, top: 12, bottom: 40 };

/** `points` as dots, `before` as rings. */
export function scatter(points: Point[], before: Point[], onpoint: (point: Point) => void): SVGSVGElement {
  const label = `Scatter of ${points.length} completions: V1 + rho against R/β. On the diagonal the residual is 0.`;
  const svg = s("svg", {
    viewBox: `0 0 ${SIZE} ${SIZE}`,
    class: "scatter",
    role: "group",
    "aria-label": label,
  });
  const all = [...before, ...points];
  const x = axis(all.map(({ target }) => target));
  const y = axis(all.flatMap(({ target, value }) => [target, value]));
  const left = (value: number) => MARGIN.left + x.share(value) * (SIZE - MARGIN.left - MARGIN.right);
  const top = (value: number) => SIZE - MARGIN.bottom - y.share(value) * (SIZE - MARGIN.top - MARGIN.bottom);
  for (const tick of y.ticks) {
    svg.append(
      s("line", { class: "grid", x1: MARGIN.left, x2: SIZE - MARGIN.right, y1: top(tick), y2: top(tick) }),
    );
    svg.append(text(short(tick), MARGIN.left - 6, top(tick) + 4, "end"));
  }
  for (const tick of x.ticks) svg.append(text(short(tick), left(tick), SIZE - MARGIN.bottom + 16, "middle"));
  svg.append(text("R / β", (SIZE + MARGIN.left) / 2, SIZE - 6, "middle"));
  const upright = text("V1 + rho", 0, 0, "middle");
  upright.setAttribute("transform", `translate(11 ${SIZE / 2 - 12}) rotate(-90)`);
  svg.append(upright);
  const [from, to] = [Math.max(x.low, y.low), Math.min(x.high, y.high)];
  svg.append(s("line", { class: "diagonal", x1: left(from), y1: top(from), x2: left(to), y2: top(to) }));
  for (const { target, value } of before) {
    svg.append(s("circle", { class: "ring", cx: left(target), cy: top(value), r: 4.5 }));
  }
  for (const point of points) svg.append(dot(point, left(point.target), top(point.value), onpoint));
  return svg;
}

function dot(point: Point, cx: number, cy: number, onpoint: (point: Point) => void): SVGElement {
  const circle = s("circle", { class: "dot", cx, cy, r: 4.5, tabindex: 0, role: "img" });
  const said = `reward ${short(point.reward)}, residual ${short(point.value - point.target)}`;
  circle.setAttribute("aria-label", said);
  const title = s("title", {});
  title.textContent = `${said}: ${point.sample.prompt}${point.sample.completion}`;
  circle.append(title);
  for (const type of ["pointerenter", "focus"]) circle.addEventListener(type, () => onpoint(point));
  return circle;
}

/** A scale that holds all values with some room, and a few round numbers on it. */
export function axis(values: number[]): {
  low: number;
  high: number;
  ticks: number[];
  share(value: number): number;
} {
  const least = Math.min(...values);
  const most = Math.max(...values);
  const room = (most - least || Math.abs(most) || 1) * 0.08;
  const [low, high] = [least - room, most + room];
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) ticks.push(i * step + 0);
  return { low, high, ticks, share: (value) => (value - low) / (high - low) };
}

function text(content: string, x: number, y: number, anchor: string): SVGElement {
  const made = s("text", { x, y, "text-anchor": anchor });
  made.textContent = content;
  return made;
}

function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** A point's completion in words. */
export function describePoint(into: HTMLElement, { sample, reward, target, value }: Point): void {
  fill(
    into,
    h("code", { text: `${sample.prompt}${sample.completion}` }),
    h("span", {
      text: ` reward ${short(reward)} · R/β ${short(target)} · V1 + rho ${short(value)} · residual ${short(value - target)}`,
    }),
  );
}
