// Thumbs, or a score.

import { h } from "../element";

export function rating(onrate: (reward: number) => void): HTMLElement {
  const score = h("input", {
    type: "number",
    min: -1,
    max: 1,
    step: 0.1,
    "aria-label": "score from −1 to 1",
    placeholder: "score",
  });
  const thumb = (text: string, label: string, reward: number) =>
    h("button", {
      type: "button",
      class: "thumb",
      text,
      "aria-label": label,
      title: label,
      "aria-pressed": "false",
      onclick: () => choose(reward),
    });
  const [up, down] = [
    thumb("▲ Good", "Good answer: reward 1", 1),
    thumb("▼ Bad", "Bad answer: reward −1", -1),
  ];

  function choose(reward: number): void {
    up.setAttribute("aria-pressed", String(reward === 1));
    down.setAttribute("aria-pressed", String(reward === -1));
    score.value = String(reward);
    onrate(reward);
  }

  score.addEventListener("change", () => {
    if (score.reportValidity() && score.value !== "") choose(score.valueAsNumber);
  });
  return h("span", { class: "rating" }, up, down, score);
}
