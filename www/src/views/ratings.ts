// The answers that a person rated: shown, removed, exported.

import type { App } from "../app";
import { fill, h } from "../element";
import { counted, short } from "../format";
import type { Feedback } from "../protocol";
import { recordsOf, textOf } from "../records";
import { save } from "../save";

export interface Ratings {
  root: HTMLElement;
  all(): Feedback[];
  load(): Promise<void>;
  rate(feedback: Feedback): void;
}

export function ratingsPanel(app: App, onchange: () => void): Ratings {
  let all: Feedback[] = [];
  const list = h("div", { class: "scroll" });
  const out = h("button", {
    type: "button",
    text: "Export as JSONL",
    onclick: () => save(recordsOf(all), "feedback.jsonl"),
  });
  const count = h("span", { class: "muted", role: "status" });
  const root = h("div", {}, list, h("div", { class: "actions" }, out, count));

  async function attempt(act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
      await load();
    } catch (error) {
      app.fault(error);
    }
  }

  async function load(): Promise<void> {
    all = await app.client.request("feedback", {});
    const head = ["prompt", "answer", "reward", ""].map((text) => h("th", { scope: "col", text }));
    fill(
      list,
      all.length > 0
        ? h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...all.toReversed().map(row)))
        : h("p", { class: "muted", text: "Nothing rated yet." }),
    );
    out.disabled = all.length === 0;
    count.textContent = all.length > 0 ? `${counted(all.length, "rated answer")}, kept in this browser.` : "";
    onchange();
  }

  function row({ id, prompt, completion, reward, truncated }: Feedback): HTMLElement {
    const remove = () => void attempt(() => app.client.request("unrate", { id }));
    return h(
      "tr",
      {},
      h("td", {}, h("code", { text: textOf(prompt) })),
      h("td", {}, h("code", { text: completion }), truncated === true && h("small", { text: " … cut off" })),
      h("td", { class: "number", text: short(reward) }),
      h(
        "td",
        {},
        h("button", {
          type: "button",
          text: "Remove",
          "aria-label": `Remove ${completion}`,
          onclick: remove,
        }),
      ),
    );
  }

  return {
    root,
    all: () => all,
    load: () => attempt(async () => {}),
    rate: (feedback) => void attempt(() => app.client.request("rate", { feedback })),
  };
}
