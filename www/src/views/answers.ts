// The same prompts, continued by the model that a run began with and by the one that it made.

import type { App } from "../app";
import { fill, h } from "../element";
import { short } from "../format";
import { advantageScaleOf, scaleOf } from "../look";
import type { Continued, Pair } from "../protocol";
import { tokenLine } from "./tokens";

const PROMPTS = 6;
const DRAWING = { temperature: 1, max_new_tokens: 64 };

/** What is to be continued. */
export interface Asked {
  run: string | undefined;
  config: Record<string, unknown>;
  prompts: string[];
}

export interface Answers {
  root: HTMLElement;
  /** Another run is looked at: what was sampled is of the last one. */
  clear(): void;
}

export function answersPanel(app: App, asked: () => Asked, readout: HTMLElement): Answers {
  const ask = h("button", { type: "button", id: "sample", text: "Sample before and after" });
  const again = h("button", { type: "button", text: "Draw again", hidden: true });
  const said = h("span", { class: "muted", role: "status" });
  const list = h("div", { class: "samples" });
  const root = h(
    "section",
    {},
    h("h3", { text: "What the model says, before and after" }),
    h("p", {
      class: "help",
      text: "The model that training began with and the one that it made continue the same prompts, with the same random numbers, at temperature 1.",
    }),
    h("div", { class: "actions" }, ask, again, said),
    list,
  );
  let seed = 0;

  function clear(): void {
    seed = 0;
    again.hidden = true;
    said.textContent = "";
    fill(list);
  }

  async function sample(): Promise<void> {
    const { run, config, prompts } = asked();
    const scale = advantageScaleOf(config);
    if (!run || !scale || prompts.length === 0) return;
    if (app.training !== "idle") {
      said.textContent = "Not while a run is being trained: pause is not enough, stop it first.";
      return;
    }
    for (const button of [ask, again]) button.disabled = true;
    said.textContent = "Sampling …";
    try {
      const some = prompts.slice(0, PROMPTS);
      const pairs = await app.client.request("compare", {
        run,
        prompts: some,
        drawing: { ...DRAWING, seed },
        scale,
      });
      if (asked().run === run) show(pairs);
      said.textContent = "";
    } catch (error) {
      said.textContent = "";
      app.fault(error);
    }
    for (const button of [ask, again]) button.disabled = false;
  }

  function show(pairs: Pair[]): void {
    const style = { scale: scaleOf(pairs.flatMap(({ before, after }) => [before, after])), readout };
    const line = (when: string, prompt: string, { tokens, rho, finished }: Continued) =>
      tokenLine({ when, prompt, tokens, numbers: `rho ${short(rho)}${finished ? "" : " · cut off"}` }, style);
    const rows = pairs.map(({ prompt, before, after }) =>
      h("div", { class: "sample" }, line("before", prompt, before), line("after", prompt, after)),
    );
    fill(list, ...rows);
    again.hidden = false;
  }

  ask.addEventListener("click", () => void sample());
  again.addEventListener("click", () => {
    seed += PROMPTS;
    void sample();
  });
  app.on("progress", () => {
    const { what, done, total } = app.progress ?? { what: "" };
    if (what === "compare" && ask.disabled) said.textContent = `Sampling … ${done} of ${total}`;
  });
  return { root, clear };
}
