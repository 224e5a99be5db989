// A completion, its tokens coloured by implicit advantage.

import { h } from "../element";
import { short } from "../format";
import { rhoOf, strength } from "../look";
import type { Sample, SampleToken } from "../protocol";

export interface TokenStyle {
  /** The |advantage| that is coloured fully. */
  scale: number;
  /** Says the numbers of the token that is pointed at or focused. */
  readout: HTMLElement;
}

export interface Line {
  /** Which model or step: what stands before it. */
  when: string;
  prompt: string;
  tokens: SampleToken[];
  /** What stands behind it. */
  numbers: string;
}

export function tokenLine(of: Line, { scale, readout }: TokenStyle): HTMLElement {
  const tokens = of.tokens.map((token, i) => {
    const sign = token.advantage < 0 ? "down" : "up";
    const made = h("span", {
      class: `token ${sign} s${strength(token.advantage, scale)}`,
      // One stop for the keyboard a line; arrows go on from there.
      tabindex: i === 0 ? 0 : -1,
      text: visible(token.text),
    });
    const tell = () => {
      readout.textContent = describe(token);
    };
    made.addEventListener("pointerenter", tell);
    made.addEventListener("focus", tell);
    return made;
  });
  const line = h("span", { class: "tokens", role: "group", "aria-label": `tokens, ${of.when}` }, ...tokens);
  line.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && tokens[tokens.indexOf(document.activeElement as HTMLSpanElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return h(
    "div",
    { class: "line" },
    h("small", { text: of.when }),
    h("span", { class: "prompt", text: of.prompt }),
    line,
    h("small", { class: "numbers", text: of.numbers }),
  );
}

/** A logged completion at a step; `beta` is the run's, where it is known. */
export function sampleLine(step: string, sample: Sample, beta: number | undefined): Line {
  const rho = beta === undefined ? "" : ` · rho ${short(rhoOf(sample, beta))}`;
  const numbers = `reward ${short(sample.reward)}${rho} · residual ${short(sample.residual)}`;
  return { when: `step ${step}`, prompt: sample.prompt, tokens: sample.tokens, numbers };
}

function describe({ text, advantage, logp, ref_logp }: SampleToken): string {
  const more =
    logp === undefined || ref_logp === undefined
      ? ""
      : ` · logp ${short(logp)} · reference ${short(ref_logp)}`;
  return `token “${visible(text)}” · advantage ${short(advantage)}${more}`;
}

/** White space has to show where it is a token. */
function visible(text: string): string {
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";
}
