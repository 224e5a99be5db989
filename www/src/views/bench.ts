// How fast this device trains.

import type { App } from "../app";
import { copy } from "../copy";
import { field, fill, h, select } from "../element";
import { short } from "../format";
import type { BenchReport } from "../protocol";
import { remember } from "../speed";
import type { View } from "./view";

export function benchView(app: App): View {
  const preset = select(["nano", "tiny"], "nano");
  const objective = select(["tbrm", "sft"], "tbrm");
  const steps = h("input", { type: "number", min: 3, max: 1000, step: 1, value: 10 });
  const start = h("button", { type: "submit", class: "primary", text: "Measure" });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress of the benchmark" });
  const result = h("div", { "aria-live": "polite" });
  const form = h(
    "form",
    { onsubmit: measure },
    h(
      "div",
      { class: "fields" },
      field(
        "preset",
        preset,
        "The size of the model: nano has about a hundred thousand parameters, tiny about a million.",
      ),
      field("objective", objective, "What is minimised."),
      field("steps", steps, "Optimizer steps whose median time counts; four more run around them."),
    ),
    start,
  );
  const root = h(
    "section",
    { "aria-label": "Benchmark" },
    h("h1", { text: "Benchmark" }),
    h("p", {
      class: "lead",
      text: "Measures how many tokens this device trains on in a second: forward, backward and optimizer, on random data.",
    }),
    form,
    bar,
    result,
  );

  async function measure(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    start.disabled = true;
    bar.hidden = false;
    bar.value = 0;
    fill(result);
    try {
      const report = await app.client.request("bench", {
        preset: preset.value,
        steps: steps.valueAsNumber,
        objective: objective.value,
      });
      const known = app.boot?.presets.find(({ name }) => name === preset.value);
      if (known && app.boot) remember({ ...report, device: app.boot.device.name }, known.params);
      show(report);
    } catch (error) {
      app.fault(error);
    }
    bar.hidden = true;
    enable();
  }

  function show(report: BenchReport): void {
    const line = JSON.stringify(report);
    const copied = h("span", { class: "muted", role: "status" });
    const take = async () => {
      copied.textContent = await copy(line, "Copied.");
    };
    fill(
      result,
      h("p", { class: "figure" }, h("b", { text: short(report.tokens_per_s) }), " tokens/s"),
      h("p", {
        class: "muted",
        text: `${report.preset}, ${short(report.step_ms)} ms a step, on ${report.device}`,
      }),
      h("pre", { class: "json", tabindex: 0, "aria-label": "The result as JSON", text: line }),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", text: "Copy as one line of JSON", onclick: () => void take() }),
        copied,
      ),
    );
  }

  function enable(): void {
    start.disabled = !app.boot || app.training !== "idle";
    start.title = app.training !== "idle" ? "Not while a run is being trained" : "";
  }

  app.on("progress", () => {
    if (app.progress?.what === "bench") bar.value = app.progress.done / app.progress.total;
  });
  for (const topic of ["boot", "state"] as const) app.on(topic, enable);
  enable();
  return { root };
}
