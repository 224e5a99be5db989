// The lab: a race to a known optimum, what theory promises and whether it holds, objectives side by side.

import type { App } from "../app";
import { fill, h } from "../element";
import { faultOf } from "../errors";
import type { LabOptions } from "../lab-protocol";
import { checksPart } from "./lab-checks";
import { comparePart } from "./lab-compare";
import { racePart } from "./lab-race";
import type { View } from "./view";

const PARTS = [
  ["race", "Race to the optimum", racePart],
  ["checks", "What must hold", checksPart],
  ["compare", "Compare objectives", comparePart],
] as const;

export function labView(app: App): View {
  const links = PARTS.map(([name, label]) => h("a", { href: `#lab/${name}`, text: label }));
  const place = h("div");
  const made = new Map<string, HTMLElement>();
  const root = h(
    "section",
    { class: "lab", "aria-label": "Lab" },
    h("h1", { text: "The lab" }),
    h("p", {
      class: "lead",
      text: "Small experiments that show how objectives behave, from seconds to a few minutes each on this machine. On problems so small that the best answer is known exactly, and on a task where it has to be measured.",
    }),
    h("nav", { class: "parts", "aria-label": "Parts of the lab" }, ...links),
    place,
  );

  let options: Promise<LabOptions> | undefined;
  async function show(): Promise<void> {
    const wanted = location.hash.split("/")[1];
    const at = Math.max(
      0,
      PARTS.findIndex(([name]) => name === wanted),
    );
    links.forEach((link, i) => {
      if (i === at) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    const [name, , make] = PARTS[at] as (typeof PARTS)[number];
    for (const [other, part] of made) part.hidden = other !== name;
    if (made.has(name)) return;
    const waiting = h("p", { class: "muted", role: "status", text: "Getting the lab ready …" });
    const part = h("div", {}, waiting);
    made.set(name, part);
    place.append(part);
    try {
      options ??= app.client.request("lab_options", {});
      fill(part, make(app, await options));
    } catch (error) {
      options = undefined;
      made.delete(name);
      part.remove();
      app.fault(error);
    }
  }

  app.on("lab", () => {
    root.dataset.working = app.lab.working ?? "";
  });
  return { root, shown: () => void show() };
}

/** Has the worker do one thing of the lab, and shows that it does. */
export async function labWork<T>(
  app: App,
  work: "race" | "checks" | "compare",
  ask: () => Promise<T>,
): Promise<T | undefined> {
  app.lab.begin(work);
  app.labChanged();
  try {
    return await ask();
  } catch (error) {
    app.fault(error);
    return undefined;
  } finally {
    app.lab.end();
    app.labChanged();
  }
}

export interface Buttons {
  root: HTMLElement;
  /** Follows what the lab and the tab do. */
  update(): void;
}

/** Start, and stop while it is at work. */
export function startStop(app: App, work: "race" | "checks" | "compare", start: HTMLButtonElement): Buttons {
  const stop = h("button", { type: "button", text: "Stop", hidden: true });
  stop.addEventListener("click", () => {
    app.lab.stopping = true;
    app.labChanged();
    app.client.request("lab_stop", {}).catch((error) => app.fault(faultOf(error)));
  });
  const why = h("span", { class: "muted", role: "status" });
  const update = () => {
    const { working, stopping } = app.lab;
    start.disabled = working !== undefined || app.training !== "idle" || !app.boot;
    stop.hidden = working !== work;
    stop.disabled = stopping;
    why.textContent = reason(app, work);
  };
  return { root: h("div", { class: "actions" }, start, stop, why), update };
}

function reason(app: App, work: string): string {
  const { working, stopping } = app.lab;
  if (stopping && working === work) return "Stopping …";
  if (working && working !== work) return "The lab is at work on something else.";
  if (app.training !== "idle") return "A run is being trained in this tab.";
  return app.boot ? "" : "Getting the engine ready …";
}

/** A number that is typed; its name is that of the setting. */
export function numberInput(name: string, value: number, limits: Record<string, unknown>): HTMLInputElement {
  return h("input", { type: "number", name, value, required: true, ...limits });
}

/** Boxes to tick, in a group with a name. */
export function boxes(
  legend: string,
  choices: { name: string; about: string }[],
  chosen: string[],
): { root: HTMLElement; values(): string[]; onchange(act: () => void): void } {
  const made = choices.map(({ name, about }) => {
    const box = h("input", { type: "checkbox", name, checked: chosen.includes(name) });
    return { name, box, root: h("label", {}, box, h("b", { text: name }), h("small", { text: about })) };
  });
  return {
    root: h("fieldset", { class: "boxes" }, h("legend", { text: legend }), ...made.map(({ root }) => root)),
    values: () => made.filter(({ box }) => box.checked).map(({ name }) => name),
    onchange: (act) => {
      for (const { box } of made) box.addEventListener("change", act);
    },
  };
}

/** Fills a place only when what it shows is another: what is made anew loses the focus, and is read aloud again. */
export function filler(place: Element): (shown: unknown, make: () => Parameters<typeof fill>[1][]) => void {
  let last: unknown;
  return (shown, make) => {
    if (shown === last) return;
    last = shown;
    fill(place, ...make());
  };
}

/** The curves of a chart by their colours. */
export function keysOf(curves: { label: string; colour?: number; dashed?: boolean }[]): HTMLElement[] {
  return curves.map(({ label, colour, dashed }, i) =>
    h("li", { class: dashed ? "key-dashed" : `key-${((colour ?? i) % 6) + 1}`, text: label }),
  );
}
