// Objectives side by side on a task, on a small budget: what to compare, how it goes, what came of it.

import type { App } from "../app";
import { Chart } from "../chart";
import { field, h, select } from "../element";
import { faultOf } from "../errors";
import { bytes, count, counted, duration } from "../format";
import { redraw } from "../frame";
import { CompareState } from "../lab";
import type { LabInfo, LabOptions, LabWork, Trial } from "../lab-protocol";
import { secondsFor } from "../speed";
import { boxes, filler, keysOf, labWork, numberInput, startStop } from "./lab";
import { keptLabs } from "./lab-kept";
import { resultTable } from "./lab-table";
import { described } from "./lab-words";

export function comparePart(app: App, options: LabOptions): HTMLElement {
  const given = options.trial;
  const objectives = boxes("What is compared", described(options.objectives), given.objectives);
  const [word = "", level = "1"] = given.task.split("-");
  const task = select(
    options.tasks.map(({ name }): [string, string] => [name, name]),
    word,
  );
  const levels = select(options.levels.map(String), level);
  const taskField = field("task", task, "…");
  const taskAbout = taskField.querySelector("small");
  const name = h("input", { type: "text", maxlength: 80, placeholder: "after what is compared" });
  const counts = { min: 1, step: 1 };
  const inputs = {
    seeds: numberInput("seeds", given.seeds, { ...counts, max: 20 }),
    steps: numberInput("steps", given.steps, counts),
    batch: numberInput("batch", given.batch, counts),
    evaluations: numberInput("evaluations", given.evaluations, counts),
    samples: numberInput("samples", given.samples, counts),
    problems: numberInput("problems", given.problems, counts),
    held_out: numberInput("held_out", given.held_out, { min: 2, step: 1 }),
    warm_steps: numberInput("warm_steps", given.warm_steps, counts),
    seed: numberInput("seed", given.seed, { min: 0, step: 1 }),
  };
  const plan = h("p", { class: "estimate", "aria-live": "polite" });
  const start = h("button", { type: "submit", class: "primary", text: "Compare" });
  const buttons = startStop(app, "compare", start);
  const form = h(
    "form",
    { novalidate: true, onsubmit: begin },
    objectives.root,
    h(
      "div",
      { class: "fields" },
      taskField,
      field("level", levels, "1 is the easiest."),
      field(
        "seeds",
        inputs.seeds,
        "Each run is repeated with so many seeds; two are needed for an interval.",
      ),
      field("steps", inputs.steps, "Optimizer steps of a run."),
    ),
    h(
      "details",
      {},
      h("summary", { text: "All settings" }),
      h(
        "div",
        { class: "fields" },
        field("batch", inputs.batch, "Completions of a step, the same for every objective."),
        field("evaluations", inputs.evaluations, "How often accuracy is measured during a run."),
        field("samples", inputs.samples, "Completions of each held-out problem."),
        field("problems", inputs.problems, "To train on, where the task has as many."),
        field(
          "held-out problems",
          inputs.held_out,
          "Accuracy is measured on them; fewer where the task has fewer.",
        ),
        field("warm-start steps", inputs.warm_steps, "Before: imitating answers, half of them wrong."),
        field("first seed", inputs.seed),
        field("name", name, "Under which it is kept in this browser."),
      ),
    ),
    plan,
    buttons.root,
  );
  const title = h("h2");
  const where = h("span", { role: "status" });
  // Not read aloud: it changes several times a second.
  const step = h("span", {});
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress of the comparison" });
  const keys = h("ul", { class: "keys" });
  const chart = new Chart(
    "accuracy in %",
    "on held-out problems, over completion tokens trained on; mean and 95% interval over seeds",
    { log: false, smoothing: 0 },
    undefined,
    "tokens",
  );
  const results = h("div", { "aria-live": "polite" });
  const shown = h(
    "section",
    { class: "outcome", hidden: true, "aria-label": "What came of it" },
    title,
    h("p", { class: "muted" }, where, step),
    bar,
    keys,
    h("div", { class: "charts one" }, chart.root),
    results,
  );
  const kept = keptLabs(app, {
    look: (lab) => void look(lab),
    resume: (lab) => void goOn(lab),
    gone: (lab) => {
      if (app.lab.compare.lab === lab) app.lab.compare = new CompareState();
      redraw(draw);
    },
  });

  function asked(): Trial {
    const numbers = Object.entries(inputs).map(([key, input]) => [key, input.valueAsNumber]);
    return {
      ...given,
      ...Object.fromEntries(numbers),
      task: `${task.value}-${levels.value}`,
      objectives: objectives.values(),
    };
  }

  let questions = 0;
  /** Says what it would take; a newer question makes an older answer stale. */
  async function estimate(): Promise<void> {
    const mine = ++questions;
    const known = options.tasks.find(({ name }) => name === task.value);
    if (taskAbout) taskAbout.textContent = known?.about ?? "";
    plan.classList.remove("bad");
    if (!app.boot) return;
    try {
      const work = await app.client.request("lab_estimate", { trial: asked() });
      if (mine !== questions) return;
      plan.textContent = describe(work);
      const seconds = app.lab.working ? undefined : await secondsFor(app, work);
      if (mine === questions) plan.textContent = describe(work, seconds);
    } catch (error) {
      if (mine !== questions) return;
      const { what, help } = faultOf(error);
      plan.textContent = `${what}. ${help}.`;
      plan.classList.add("bad");
    }
  }

  async function begin(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (start.disabled || !Object.values(inputs).every((input) => input.reportValidity())) return;
    app.lab.compare = new CompareState();
    const trial = asked();
    const args = { name: name.value.trim() || `${trial.task}: ${trial.objectives.join(", ")}`, trial };
    void navigator.storage?.persist?.();
    await labWork(app, "compare", () => app.client.request("lab_compare", args));
  }

  async function goOn({ id }: LabInfo): Promise<void> {
    await labWork(app, "compare", async () => {
      await show(id);
      return app.client.request("lab_resume", { lab: id });
    });
  }

  /** Shows what is kept. */
  async function look(id: string): Promise<void> {
    try {
      await show(id);
    } catch (error) {
      app.fault(error);
    }
  }

  async function show(id: string): Promise<void> {
    const found = await app.client.request("lab_look", { lab: id });
    app.lab.compare = new CompareState(id);
    if (found) app.lab.compare.hear({ type: "compared", ...found });
    redraw(draw);
  }

  const fillKeys = filler(keys);
  const fillResults = filler(results);
  function draw(): void {
    const now = app.lab.compare;
    const working = app.lab.working === "compare";
    buttons.update();
    shown.hidden = !working && now.soFar === undefined;
    title.textContent = kept.nameOf(now.lab) ?? "A new comparison";
    bar.hidden = !working;
    bar.value = now.share;
    const said = describeState(now, working);
    if (where.textContent !== said) where.textContent = said;
    step.textContent = working && now.step > 0 ? ` Step ${count(now.step)} of ${count(now.steps)}.` : "";
    const curves = now.curves();
    chart.set(curves);
    fillKeys(curves.map(({ label }) => label).join(), () => keysOf(curves));
    const comparison = now.soFar?.comparison;
    fillResults(comparison, () => [comparison && resultTable(comparison)]);
    kept.update();
  }

  for (const control of [task, levels, ...Object.values(inputs)]) {
    control.addEventListener("change", () => void estimate());
  }
  objectives.onchange(() => void estimate());
  app.on("lab", () => redraw(draw));
  for (const topic of ["state", "boot"] as const) app.on(topic, () => redraw(buttons.update));
  app.on("boot", () => void estimate());
  void estimate();
  draw();
  return h(
    "section",
    { class: "compare", "aria-label": "Compare objectives" },
    h("p", {
      class: "lead",
      text: "Which objective learns a task best on the same budget? Each starts from the same warm-started model and writes and learns from equally many answers; accuracy is measured on problems that none has seen.",
    }),
    form,
    shown,
    kept.root,
  );
}

function describe({ runs, steps, tokens, total_bytes }: LabWork, seconds?: number): string {
  const time = seconds === undefined ? "" : `, roughly ${duration(seconds)} here`;
  return `${counted(runs, "run")}, ${count(steps)} steps in all, up to ${count(tokens)} tokens, ${bytes(total_bytes)} of GPU memory${time}.`;
}

function describeState(now: CompareState, working: boolean): string {
  const done = `${count(now.done)} of ${counted(now.runs, "run")} done`;
  if (!working) {
    const missing = now.done < now.runs ? " Go on with it below." : "";
    return now.runs > 0 ? `${done}.${missing}` : "";
  }
  if (now.runs === 0) return "Getting ready …";
  return `${done}. Now ${readable(now.what)}.`;
}

/** `run/tbrm/seed-1` as people say it. */
function readable(what: string): string {
  const [, arm, seed] = /^run\/(.+)\/seed-(\d+)$/.exec(what) ?? [];
  return arm ? `${arm}, seed ${seed}` : what;
}
