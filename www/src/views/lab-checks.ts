// What TBRM promises, each with an expectation that is met or not.

import type { App } from "../app";
import { Chart } from "../chart";
import { field, fill, h } from "../element";
import { redraw } from "../frame";
import { ChecksState } from "../lab";
import type { Check, LabOptions, Series } from "../lab-protocol";
import { save } from "../save";
import { keysOf, labWork, numberInput, startStop } from "./lab";

export function checksPart(app: App, { checks }: LabOptions): HTMLElement {
  const seed = numberInput("seed", 0, { min: 0, step: 1 });
  const start = h("button", { type: "submit", class: "primary", text: "Run all checks" });
  const buttons = startStop(app, "checks", start);
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress of the check" });
  const download = h("button", { type: "button", text: "Download the report", hidden: true });
  download.addEventListener("click", () => {
    if (app.lab.checks.report) save(app.lab.checks.report, "theory.html");
  });
  const cards = checks.map(({ name, about }) => card(name, about));
  buttons.root.append(download);
  const form = h(
    "form",
    { novalidate: true, onsubmit: (event: SubmitEvent) => void run([], event) },
    h("div", { class: "fields" }, field("seed", seed, "A check that depends on luck fails with some seeds.")),
    buttons.root,
  );

  async function run(only: string[], event?: Event): Promise<void> {
    event?.preventDefault();
    if (start.disabled || !seed.reportValidity()) return;
    const before = app.lab.checks.done;
    app.lab.checks = new ChecksState();
    const wanted = only.length === 0 ? checks.map(({ name }) => name) : only;
    for (const [name, check] of before) if (!wanted.includes(name)) app.lab.checks.done.set(name, check);
    const report = await labWork(app, "checks", () =>
      app.client.request("lab_checks", { only, seed: seed.valueAsNumber }),
    );
    app.lab.checks.report = report ?? undefined;
    app.labChanged();
  }

  function card(name: string, about: string) {
    const badge = h("span", { class: "badge", text: "not run" });
    const alone = h("button", { type: "button", text: "Run", "aria-label": `Run: ${about}` });
    alone.addEventListener("click", () => void run([name]));
    const found = h("div", {});
    const root = h(
      "li",
      { "data-check": name },
      h("div", { class: "head" }, h("b", { class: "name", text: about }), badge, alone),
      found,
    );
    let shown: Check | undefined;
    function update(): void {
      const { running, done } = app.lab.checks;
      const check = done.get(name);
      const at = running?.name === name ? running : undefined;
      const state = at ? "running" : check ? (check.passed ? "passed" : "failed") : "idle";
      badge.className = `badge ${state}`;
      badge.textContent = at && at.total > 1 ? `training ${at.done + 1} of ${at.total}` : WORDS[state];
      alone.disabled = start.disabled;
      if (check === shown) return;
      shown = check;
      fill(found, ...(check ? described(check) : []));
    }
    return { root, update };
  }

  function draw(): void {
    buttons.update();
    const { running, report } = app.lab.checks;
    bar.hidden = app.lab.working !== "checks";
    if (running && running.total > 0) bar.value = running.done / running.total;
    else bar.removeAttribute("value");
    download.hidden = !report;
    for (const { update } of cards) update();
  }

  for (const topic of ["lab", "state", "boot"] as const) app.on(topic, () => redraw(draw));
  draw();
  return h(
    "section",
    { class: "checks", "aria-label": "What must hold" },
    h("p", {
      class: "lead",
      text: "Eight statements about TBRM, put to the test on problems with a known solution: each says beforehand what is expected. The last is known not to come out as expected on a problem this small; the others should.",
    }),
    form,
    bar,
    h("ul", { class: "runs checklist" }, ...cards.map(({ root }) => root)),
  );
}

const WORDS = { idle: "not run", running: "running", passed: "as expected", failed: "not as expected" };

function described({ claim, found, series }: Check): HTMLElement[] {
  const facts = [
    h("p", { class: "facts" }, h("span", { class: "muted", text: "Expected: " }), `${claim}.`),
    h("p", { class: "facts" }, h("span", { class: "muted", text: "Found: " }), `${found}.`),
  ];
  const [first] = series;
  return first ? [...facts, chartOf(series, first)] : facts;
}

/** Curves of one check share their axes. */
function chartOf(series: Series[], { x, y }: Series): HTMLElement {
  const chart = new Chart(y, `over ${x}; logarithmic`, { log: true, smoothing: 0 }, undefined, x);
  const curves = series.map(({ name, points }) => ({
    label: name,
    steps: points.map(([at]) => at),
    values: points.map(([, value]) => value),
  }));
  chart.set(curves);
  return h(
    "div",
    {},
    h("ul", { class: "keys" }, ...keysOf(curves)),
    h("div", { class: "charts" }, chart.root),
  );
}
