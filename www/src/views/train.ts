// The first screen: one button that trains the demo, a form for one's own logs; then the run that is being trained.

import type { App } from "../app";
import { fill, h } from "../element";
import { bytes, count, duration } from "../format";
import type { SpecInput } from "../protocol";
import { sharedIn } from "../share";
import { knownSeconds } from "../speed";
import { progressView } from "./progress";
import { setupForm } from "./setup";
import type { View } from "./view";

const DEMO: SpecInput = { model: { kind: "demo" }, data: [], eval: [], settings: {} };

export function trainView(app: App): View {
  const setup = setupForm(app);
  const demo = h("button", { type: "button", class: "primary big", id: "demo", text: "Train the demo" });
  demo.addEventListener("click", () => void app.train("Demo", DEMO));
  const device = h("p", { class: "muted", id: "device" });
  const welcome = h(
    "section",
    { class: "hero" },
    h("h1", { text: "Train a language model in this tab" }),
    h(
      "p",
      { class: "lead" },
      "A small transformer learns to sort digits from logged answers, half of them wrong, and a reward for each: first it imitates them all, then TBRM teaches it which were right, and at last it learns from answers of its own. ",
      "Everything runs on this machine’s GPU, and nothing leaves it.",
    ),
    demo,
    device,
  );
  const interrupted = h("div", { class: "notice", hidden: true });
  const idle = h("div", {}, interrupted, welcome, setup.root);
  const run = progressView(app, () => showSetup());
  const root = h("section", { "aria-label": "Train" }, idle, run.root);

  let takes = "";
  async function estimate(): Promise<void> {
    if (!app.boot || takes !== "") return;
    try {
      const found = await app.client.request("estimate", { spec: DEMO });
      const seconds = knownSeconds(app, found);
      const time = seconds === undefined ? "" : `, about ${duration(seconds)}`;
      takes = `: ${count(found.steps)} steps${time}, ${bytes(found.total_bytes)} of its memory`;
      show();
    } catch {
      // What keeps the demo from being trained is told when it is asked for.
    }
  }

  let again = false;
  function showSetup(): void {
    again = true;
    show();
    demo.focus();
  }

  function show(): void {
    const busy = app.training !== "idle";
    if (busy) again = false;
    const live = app.live !== undefined && !again;
    idle.hidden = live;
    run.root.hidden = !live;
    demo.disabled = busy;
    device.textContent = app.boot ? `On ${app.boot.device.name}${takes}` : "Getting the engine ready …";
    const last = app.runs.find((kept) => kept.resumable && !kept.busy);
    interrupted.hidden = busy || !last;
    if (last) {
      const where = last.saved > 0 ? `saved after step ${last.saved}` : "not saved before it was interrupted";
      fill(
        interrupted,
        h("span", { text: `“${last.name}” is unfinished, ${where}.` }),
        h("button", { type: "button", text: "Resume", onclick: () => void app.resume(last) }),
      );
    }
  }

  for (const topic of ["boot", "state", "runs", "live"] as const) app.on(topic, show);
  app.on("boot", () => void estimate());
  show();
  return {
    root,
    shown() {
      const shared = sharedIn(location.hash);
      if (shared) setup.fill(shared);
      show();
    },
  };
}
