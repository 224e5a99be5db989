// What the model thinks of completions, before and after: token by token, and against the diagonal.

import type { App } from "../app";
import { Chart } from "../chart";
import { fill, h, select } from "../element";
import { redraw } from "../frame";
import { Columns } from "../live";
import { betaOf, type Point, pointOf, scaleOf } from "../look";
import { HELD_OUT } from "../metrics";
import type { History, Sample } from "../protocol";
import { describePoint, scatter } from "../scatter";
import { answersPanel } from "./answers";
import { sampleLine, tokenLine } from "./tokens";
import type { View } from "./view";

const LIVE = "live";

export function insideView(app: App): View {
  let history: History | undefined;
  let before: Sample[] = [];
  let after: Sample[] = [];
  let asked = 0;
  let shownRun: string | undefined;

  const runs = select([], "");
  const first = select([], "");
  const second = select([], "");
  const empty = h(
    "p",
    { class: "notice" },
    h("span", { text: "This needs a run with samples: the demo looks at held-out completions as it goes." }),
    h("a", { href: "#train", class: "button", text: "Train the demo first" }),
  );
  const readout = h("p", {
    class: "readout-line",
    "aria-live": "polite",
    text: "Point at a token or a dot for its numbers.",
  });
  const list = h("div", { class: "samples" });
  const plot = h("div", { class: "scatter-box" });
  const said = h("p", { class: "help", "aria-live": "polite" });
  const charts = HELD_OUT.map((metric) => ({ metric, chart: new Chart(metric.label, metric.help) }));
  const answers = answersPanel(
    app,
    () => ({
      run: runs.value === LIVE ? app.live?.run : runs.value,
      config: history?.config ?? {},
      prompts: [...new Set(after.map(({ prompt }) => prompt))],
    }),
    readout,
  );
  const body = h(
    "div",
    {},
    h(
      "div",
      { class: "columns" },
      h(
        "section",
        {},
        h("h2", { text: "Residuals" }),
        h("p", {
          class: "help",
          text: "Each dot is a completion, each ring one of the earlier step. TBRM moves V1 + rho towards R/β, the dashed diagonal; the distance to it is the residual.",
        }),
        plot,
        said,
      ),
      h(
        "section",
        {},
        h("h2", { text: "Held-out records over time" }),
        h("div", { class: "charts" }, ...charts.map(({ chart }) => chart.root)),
      ),
    ),
    h("h2", { text: "Token by token" }),
    h(
      "p",
      { class: "help" },
      "Colours are the implicit advantage β·(logp − reference logp): ",
      h("span", { class: "token up s80", text: "more likely" }),
      " or ",
      h("span", { class: "token down s80", text: "less likely" }),
      " than under the model that training began with.",
    ),
    readout,
    answers.root,
    h("h3", { text: "Completions" }),
    list,
  );
  const choices = [label("run", runs), label("before: step", first), label("after: step", second)];
  const root = h(
    "section",
    { "aria-label": "Look inside" },
    h("h1", { text: "Look inside" }),
    h("div", { class: "toolbar left" }, ...choices),
    empty,
    body,
  );

  function listRuns(): void {
    const chosen = runs.value;
    const pairs: [string, string][] = app.runs
      .filter(({ id }) => id !== app.live?.run)
      .map(({ id, name }) => [id, name]);
    if (app.live) pairs.unshift([LIVE, `${app.live.name} (this tab)`]);
    runs.replaceChildren(...pairs.map(([value, text]) => h("option", { value, text })));
    if (pairs.some(([value]) => value === chosen)) runs.value = chosen;
  }

  async function choose(): Promise<void> {
    const mine = ++asked;
    const run = runs.value === LIVE ? app.live?.run : runs.value;
    history = undefined;
    if (run !== shownRun) answers.clear();
    shownRun = run;
    try {
      if (run) history = await app.client.request("history", { run });
    } catch (error) {
      app.fault(error);
    }
    if (mine !== asked) return;
    listSteps();
    await load();
  }

  function sampled(): number[] {
    const live = runs.value === LIVE ? [...(app.live?.samples.keys() ?? [])] : [];
    return [...new Set([...(history?.sampled ?? []), ...live])].sort((a, b) => a - b);
  }

  function listSteps(): void {
    const steps = sampled().map(String);
    const followed = second.selectedIndex === second.options.length - 1;
    const [one, two] = [first.value, second.value];
    for (const control of [first, second])
      control.replaceChildren(...steps.map((value) => h("option", { value, text: value })));
    first.value = steps.includes(one) ? one : (steps[0] ?? "");
    second.value = steps.includes(two) && !followed ? two : (steps.at(-1) ?? "");
    choices.forEach((choice, i) => {
      choice.hidden = i === 0 ? runs.options.length === 0 : steps.length === 0;
    });
    empty.hidden = steps.length > 0;
    body.hidden = steps.length === 0;
  }

  async function samplesOf(step: string): Promise<Sample[]> {
    if (step === "") return [];
    const known = runs.value === LIVE ? app.live?.samples.get(Number(step)) : undefined;
    const run = runs.value === LIVE ? app.live?.run : runs.value;
    return known ?? (run ? app.client.request("samples", { run, step: Number(step) }) : []);
  }

  async function load(): Promise<void> {
    const mine = ++asked;
    try {
      const both = await Promise.all([samplesOf(first.value), samplesOf(second.value)]);
      if (mine !== asked) return;
      [before, after] = both;
    } catch (error) {
      return app.fault(error);
    }
    redraw(draw);
  }

  function draw(): void {
    const beta = betaOf(history?.config ?? {});
    const style = { scale: scaleOf([...before, ...after]), readout };
    const rows = after.map((sample, i) => {
      const earlier = before[i];
      const comparable = earlier && earlier !== sample && earlier.completion === sample.completion;
      return h(
        "div",
        { class: "sample" },
        comparable && tokenLine(sampleLine(first.value, earlier, beta), style),
        tokenLine(sampleLine(second.value, sample, beta), style),
      );
    });
    fill(list, ...rows);
    const pointsOf = (samples: Sample[]) =>
      beta === undefined
        ? []
        : samples.map((sample) => pointOf(sample, beta)).filter((point) => point !== undefined);
    const points = pointsOf(after);
    const show = (point: Point) => describePoint(said, point);
    fill(
      plot,
      points.length > 0
        ? scatter(points, first.value === second.value ? [] : pointsOf(before), show)
        : h("p", { class: "muted", text: "These completions have no rewards." }),
    );
    drawCharts();
  }

  function drawCharts(): void {
    const columns = runs.value === LIVE ? app.live?.stage.columns : history && Columns.of(history);
    for (const { metric, chart } of charts) {
      const has = columns?.has(metric.key);
      chart.set(
        has
          ? [{ label: metric.label, steps: columns?.steps ?? [], values: columns?.get(metric.key) ?? [] }]
          : [],
      );
    }
  }

  runs.addEventListener("change", () => void choose());
  for (const control of [first, second]) control.addEventListener("change", () => void load());
  let known = 0;
  app.on("live", () => {
    const now = app.live?.samples.size ?? 0;
    if (root.hidden || runs.value !== LIVE || now === known) return;
    known = now;
    if (!history) return void choose();
    listSteps();
    void load();
  });
  app.on("runs", () => !root.hidden && listRuns());
  return {
    root,
    shown() {
      listRuns();
      void choose();
    },
  };
}

function label(text: string, control: HTMLElement): HTMLElement {
  return h("label", {}, `${text} `, control);
}
