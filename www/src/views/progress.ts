// The run of this tab: where it stands, what can be done with it, its curves.

import type { App } from "../app";
import { Chart, type ChartStyle } from "../chart";
import type { Curve } from "../curve";
import { fill, h } from "../element";
import { count, duration, percent, short } from "../format";
import { redraw } from "../frame";
import { isOnline, type Live, type Stage } from "../live";
import { HELD_OUT, METRICS, type MetricInfo, ONLINE, rewardMeans } from "../metrics";
import { Completions } from "./completions";
import { styleControls } from "./style";

const STAGES: Record<string, string> = {
  "warm-start": "Warm start: imitate all",
  tbrm: "TBRM: learn from rewards",
  online: "TBRM online: from its own answers",
};

export function progressView(app: App, onagain: () => void): { root: HTMLElement } {
  const title = h("h2");
  const where = h("p", { class: "muted", role: "status" });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the run" });
  const pause = button(
    "Pause",
    "pause",
    () => void app.client.request(app.training === "paused" ? "proceed" : "pause", {}),
  );
  const step = button("One step", "step", () => void app.client.request("step", {}));
  const stop = button("Stop", "stop", () => void app.client.request("stop", {}));
  const again = button("Train something else", "again", onagain);
  const inside = h("a", { href: "#inside", class: "button", text: "Look inside" });
  const teach = h("a", { href: "#teach", class: "button", text: "Try the model" });
  const tiles = h("dl", { class: "tiles" });
  const story = h("ol", { class: "story" });
  /** None: the one that is being trained. */
  let shownStage: string | undefined;
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Stage" });

  let style: ChartStyle = { log: false, smoothing: 0.6 };
  const charts = new Map<string, { metric: MetricInfo; chart: Chart }>();
  const grid = h("div", { class: "charts" });
  const make = (metric: MetricInfo) => {
    const chart = new Chart(metric.label, metric.help, styleOf(metric, style), "run");
    charts.set(metric.key, { metric, chart });
    grid.append(chart.root);
  };
  for (const metric of [...METRICS, ...ONLINE, ...HELD_OUT]) make(metric);
  const completions = new Completions();
  const controls = styleControls(style, (changed) => {
    style = changed;
    for (const { metric, chart } of charts.values()) chart.restyle(styleOf(metric, changed));
  });
  const root = h(
    "section",
    { class: "run" },
    h(
      "div",
      { class: "head" },
      h("div", {}, title, where),
      h("div", { class: "actions" }, pause, step, stop, inside, teach, again),
    ),
    bar,
    story,
    tiles,
    h("div", { class: "toolbar" }, tabs, controls),
    grid,
    completions.root,
  );

  function draw(): void {
    const live = app.live;
    if (!live) return;
    const paused = app.training === "paused";
    const busy = app.training !== "idle";
    title.textContent = live.name;
    where.textContent = describe(app, live);
    bar.value = share(live);
    bar.hidden = !busy;
    pause.textContent = paused ? "Go on" : "Pause";
    for (const control of [pause, stop]) control.hidden = !busy;
    for (const control of [pause, stop, step])
      control.disabled = app.training === "starting" || app.training === "stopping";
    step.hidden = !paused;
    again.hidden = busy;
    inside.hidden = live.samples.size === 0;
    teach.hidden = busy;
    drawStory(live);
    drawTabs(live);
    const stage = live.stages.find(({ name }) => name === shownStage) ?? live.stage;
    drawTiles(stage);
    // Which rewards there are only the run knows.
    for (const metric of rewardMeans(stage.columns.names())) if (!charts.has(metric.key)) make(metric);
    for (const { metric, chart } of charts.values()) chart.set(curvesOf(stage, metric));
    completions.show(live);
  }

  function drawStory(live: Live): void {
    const told = live.stages.filter((stage) => stage.accuracy.length > 0);
    story.hidden = told.length === 0;
    const lines = told.map((stage) => {
      const last = stage.accuracy.at(-1);
      return h(
        "li",
        {},
        h("span", { text: STAGES[stage.name] ?? stage.name }),
        h("b", { text: last ? percent(last.mean) : "" }),
        h("small", { text: last ? ` ± ${(100 * last.stderr).toFixed(1)} of held-out problems solved` : "" }),
      );
    });
    fill(story, ...lines);
  }

  function drawTabs(live: Live): void {
    const names = live.stages.map(({ name }) => name);
    tabs.hidden = names.length < 2;
    if (shownStage !== undefined && !names.includes(shownStage)) shownStage = undefined;
    const made = live.stages.map((stage, i) => {
      const current = shownStage === undefined ? i === names.length - 1 : stage.name === shownStage;
      const choose = () => {
        shownStage = i === names.length - 1 ? undefined : stage.name;
        redraw(draw);
      };
      return h("button", {
        type: "button",
        "aria-pressed": String(current),
        text: STAGES[stage.name] ?? stage.name,
        onclick: choose,
      });
    });
    // Replaced only when something changed: a button that is made anew loses the focus.
    const key = `${names.join()} ${shownStage}`;
    if (tabs.dataset.key !== key) fill(tabs, ...made);
    tabs.dataset.key = key;
  }

  function drawTiles(stage: Stage): void {
    const { columns } = stage;
    const tile = (label: string, value: string) =>
      h("div", {}, h("dt", { text: label }), h("dd", { text: value }));
    fill(
      tiles,
      tile("step", `${count(columns.steps.at(-1) ?? 0)}${stage.steps ? ` of ${count(stage.steps)}` : ""}`),
      tile("loss", short(columns.last("loss"))),
      tile("reward", short(columns.last("reward"))),
      tile("tokens/s", short(columns.last("tokens_per_s"))),
      tile("left", app.training === "training" ? remaining(stage) : "–"),
    );
  }

  for (const topic of ["live", "state"] as const) app.on(topic, () => redraw(draw));
  return { root };
}

export function curvesOf(stage: Stage, metric: MetricInfo): Curve[] {
  if (!stage.columns.has(metric.key) || (ONLINE.includes(metric) && !isOnline(stage.columns))) return [];
  return [{ label: metric.label, steps: stage.columns.steps, values: stage.columns.get(metric.key) }];
}

/** A logarithm where there is one; measurements on held-out records are few, and are not smoothed. */
export function styleOf(metric: MetricInfo, style: ChartStyle): ChartStyle {
  return {
    log: style.log && metric.positive,
    smoothing: metric.key.startsWith("eval/") ? 0 : style.smoothing,
  };
}

function describe(app: App, live: Live): string {
  const stage = STAGES[live.stage.name] ?? "";
  const at = stage ? `${stage}. ` : "";
  switch (app.training) {
    case "starting":
      return "Getting ready …";
    case "training":
      if (live.scoring !== undefined)
        return `${at}The reference reads what there is: ${percent(live.scoring)}.`;
      if (live.rollouts) return `${at}${describeRound(live.rollouts)}`;
      return live.step === 0 ? `${at}The first step compiles the kernels …` : at || "Training.";
    case "paused":
      return "Paused. The GPU waits.";
    case "stopping":
      return "Stopping: the run is being saved.";
    case "idle":
      return live.complete
        ? "Finished. The model is kept in this browser, under Keep."
        : "Stopped. It can go on from its last checkpoint, under Keep.";
  }
}

function describeRound({ round, completions, reward }: NonNullable<Live["rollouts"]>): string {
  return `Round ${count(round + 1)}: ${count(completions)} answers of the model, worth ${short(reward)} on average.`;
}

function share(live: Live): number {
  const { steps, columns } = live.stage;
  return steps > 0 ? (columns.steps.at(-1) ?? 0) / steps : (live.scoring ?? 0);
}

function remaining(stage: Stage): string {
  const times = stage.columns.get("step_time").slice(-20);
  const left = stage.steps - (stage.columns.steps.at(-1) ?? 0);
  if (times.length === 0 || left <= 0) return "–";
  return duration((left * times.reduce((sum, time) => sum + time, 0)) / times.length);
}

function button(text: string, id: string, onclick: () => void): HTMLButtonElement {
  return h("button", { type: "button", id, text, onclick });
}
