// The same prompts, answered by the model that a run began with and by the one that it made.

import type { App } from "../app";
import { fill, h } from "../element";
import type { Answer } from "../protocol";

const PROMPTS = 6;

export function answersPanel(
  app: App,
  what: () => { run: string | undefined; prompts: string[] },
): { root: HTMLElement } {
  const ask = h("button", { type: "button", text: "Answer these prompts, before and after" });
  const said = h("span", { class: "muted", role: "status" });
  const table = h("div", { class: "answers" });
  const root = h(
    "section",
    {},
    h("h2", { text: "Sampled answers" }),
    h("p", { class: "help", text: "Both models answer the prompts above, drawn at temperature 1." }),
    h("div", { class: "actions" }, ask, said),
    table,
  );

  async function answer(run: string, which: "first" | "newest", prompts: string[]): Promise<Answer[]> {
    said.textContent = which === "first" ? "Before …" : "After …";
    await app.client.request("chat_open", { model: { kind: "run", run, which } });
    const answers: Answer[] = [];
    for (const [seed, prompt] of prompts.entries()) {
      const sampling = { temperature: 1, top_p: 1, max_new_tokens: 64, seed };
      answers.push(await app.client.request("chat", { prompt, sampling }));
    }
    return answers;
  }

  ask.addEventListener("click", async () => {
    const { run, prompts } = what();
    if (!run) return;
    if (app.training !== "idle") {
      said.textContent = "Not while a run is being trained: stop it first.";
      return;
    }
    ask.disabled = true;
    const some = prompts.slice(0, PROMPTS);
    try {
      const before = await answer(run, "first", some);
      const after = await answer(run, "newest", some);
      const rows = some.map((prompt, i) =>
        h("tr", {}, h("th", { scope: "row" }, h("code", { text: prompt })), cell(before[i]), cell(after[i])),
      );
      const head = h(
        "tr",
        {},
        ...["prompt", "before", "after"].map((text) => h("th", { scope: "col", text })),
      );
      fill(table, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)));
      said.textContent = "";
    } catch (error) {
      said.textContent = "";
      app.fault(error);
    }
    ask.disabled = false;
  });
  return { root };
}

function cell(answer: Answer | undefined): HTMLElement {
  return h(
    "td",
    {},
    h("code", { text: answer?.text ?? "" }),
    answer?.finished === false && h("small", { text: " … cut off" }),
  );
}
