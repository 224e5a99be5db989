// What an answer is worth: one reward or several with weights, each a kind and what belongs to it.

import { field, fill, h, select } from "../element";
import { kindOf, type Reward, rewardOf, settingsOf } from "../rewards";

interface Kind {
  label: string;
  help: string;
  /** What stands behind the colon, where something does. */
  argument?: { label: string; placeholder: string; start: string };
}

/** The kinds of the core, and the page's own; README and docs/rewards.md say the same of them. */
const KINDS: Record<string, Kind> = {
  task: {
    label: "task: the verifier of an embedded task",
    help: "1 where the answer solves the task’s problem, else 0.",
    argument: { label: "task", placeholder: "sort-3", start: "sort-3" },
  },
  exact: {
    label: "exact: the record’s answer",
    help: "1 where the answer is the record’s, but for white space around it.",
  },
  numeric: {
    label: "numeric: the last number",
    help: "1 where the last number is that of the record’s answer.",
  },
  math: {
    label: "math: a mathematical answer",
    help: "1 where the final answer has the same value as the record’s.",
  },
  regex: {
    label: "regex: a pattern",
    help: "1 where the pattern is found; where it has a group, what the group holds has to be the record’s answer.",
    argument: { label: "pattern", placeholder: "answer is (\\w+)", start: "" },
  },
  contains: {
    label: "contains: a text",
    help: "1 where the answer contains the text.",
    argument: { label: "text", placeholder: "thank you", start: "" },
  },
  length: {
    label: "length: so many characters",
    help: "1 within the range, and less the farther the answer is from it.",
    argument: { label: "from-to", placeholder: "10-80", start: "1-20" },
  },
  javascript: {
    label: "JavaScript: a function of yours",
    help: "Runs in a frame of its own that can reach neither the network nor this page, for at most 3 s an answer. It needs this page only to begin, so a hidden tab goes on.",
    argument: {
      label: "function (record, completion) => number",
      placeholder: "(record, completion) => 1",
      start:
        "(record, completion) => {\n  // record has prompt, answer and every other field of its line.\n  return completion.trim() === record.answer ? 1 : 0;\n}",
    },
  },
};

export class RewardsEditor {
  readonly root = h("div", { class: "rewards" });
  private rewards: Reward[] = [{ kind: "exact", argument: "", weight: 1 }];
  private readonly list = h("ol");
  /** Whether a person has changed something: what is proposed for them must not undo it. */
  private touched = false;

  constructor(private readonly onchange: () => void) {
    const add = h("button", { type: "button", text: "Add a reward", onclick: () => this.add() });
    this.root.append(this.list, add);
    this.draw();
  }

  /** As settings of the run. */
  values(): { rewards: string[]; reward_weights?: number[] } {
    return settingsOf(this.rewards);
  }

  /** Why these cannot judge yet. */
  lacking(): string | undefined {
    const empty = this.rewards.find(({ kind, argument }) => KINDS[kind]?.argument && argument.trim() === "");
    if (empty) return `The reward ${empty.kind} lacks its ${KINDS[empty.kind]?.argument?.label}.`;
    const unweighted = this.rewards.find(({ weight }) => !Number.isFinite(weight));
    return unweighted && `The reward ${unweighted.kind} lacks its weight.`;
  }

  /** Puts this one in place, unless the person has already chosen. */
  propose(reward: string): void {
    if (this.touched) return;
    this.rewards = [rewardOf(reward, 1)];
    this.draw();
  }

  take(values: Record<string, unknown>): void {
    const { rewards, reward_weights } = values;
    if (!Array.isArray(rewards) || rewards.length === 0) return;
    const weights = Array.isArray(reward_weights) ? reward_weights : [];
    this.rewards = rewards.map((reward, i) => rewardOf(String(reward), Number(weights[i] ?? 1)));
    this.touched = true;
    this.draw();
  }

  private add(): void {
    this.rewards.push({ kind: "length", argument: KINDS.length?.argument?.start ?? "", weight: 1 });
    this.changed();
    this.draw();
    this.list.lastElementChild?.querySelector("select")?.focus();
  }

  private changed(): void {
    this.touched = true;
    this.onchange();
  }

  private draw(): void {
    fill(this.list, ...this.rewards.map((reward, i) => this.row(reward, i)));
  }

  private row(reward: Reward, i: number): HTMLElement {
    const shown = KINDS[reward.kind];
    const kinds = Object.entries(KINDS).map(([kind, { label }]): [string, string] => [kind, label]);
    const kind = select(kinds, reward.kind);
    kind.addEventListener("change", () => {
      const start = KINDS[kind.value]?.argument?.start ?? "";
      this.rewards[i] = { ...reward, kind: kindOf(kind.value), argument: start };
      this.changed();
      this.draw();
      this.list.children[i]?.querySelector("select")?.focus();
    });
    const weight = h("input", { type: "number", step: "any", value: reward.weight });
    weight.addEventListener("change", () => {
      reward.weight = weight.value === "" ? Number.NaN : weight.valueAsNumber;
      this.changed();
    });
    const remove = h("button", {
      type: "button",
      text: "Remove",
      "aria-label": `Remove reward ${i + 1}`,
      disabled: this.rewards.length === 1,
      onclick: () => {
        this.rewards.splice(i, 1);
        this.changed();
        this.draw();
        this.list.querySelector("select")?.focus();
      },
    });
    return h(
      "li",
      { class: reward.kind },
      field(`reward ${i + 1}`, kind, shown?.help),
      shown?.argument && field(shown.argument.label, this.argument(reward, shown.argument.placeholder)),
      field("weight", weight),
      remove,
    );
  }

  private argument(reward: Reward, placeholder: string): HTMLElement {
    const props = { spellcheck: "false", autocapitalize: "off", placeholder };
    const control =
      reward.kind === "javascript"
        ? h("textarea", { ...props, class: "code", rows: 5, text: reward.argument })
        : h("input", { ...props, type: "text", value: reward.argument });
    control.addEventListener("change", () => {
      reward.argument = control.value;
      this.changed();
    });
    return control;
  }
}
