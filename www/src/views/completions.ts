// The newest answers of an online run, each with what it was worth.

import { fill, h } from "../element";
import { short } from "../format";
import type { Live } from "../live";
import type { Sample } from "../protocol";

/** As many as are looked at. */
const SHOWN = 8;

export class Completions {
  private readonly rows = h("tbody");
  private readonly when = h("p", { class: "help" });
  readonly root = h(
    "section",
    { hidden: true, class: "completions" },
    h("h2", { text: "Answers of the model" }),
    this.when,
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h("tr", {}, ...["prompt", "answer", "reward"].map((text) => h("th", { scope: "col", text }))),
      ),
      this.rows,
    ),
  );
  private drawn: Sample[] | undefined;

  /** Shows the last answers that the run told of; none where they are those of a log. */
  show(live: Live): void {
    // The stage's own: the demo's stage before was shown logged answers.
    const step = Math.max(...live.stage.samples.keys());
    const samples = live.online ? live.stage.samples.get(step) : undefined;
    this.root.hidden = !samples;
    if (!samples || samples === this.drawn) return;
    this.drawn = samples;
    this.when.textContent = `After step ${step}; “Look inside” shows them token by token.`;
    const row = ({ prompt, completion, reward }: Sample) =>
      h(
        "tr",
        {},
        h("td", {}, h("code", { text: prompt })),
        h("td", {}, h("code", { text: completion })),
        h("td", { class: "number", text: short(reward) }),
      );
    fill(this.rows, ...samples.slice(0, SHOWN).map(row));
  }
}
