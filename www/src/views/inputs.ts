// What a loaded run was made from: with it, the run can go on in this browser.

import type { App } from "../app";
import { dropZone } from "../drop";
import { h } from "../element";
import { counted } from "../format";
import type { GivenFiles, RunInfo } from "../protocol";

export function inputsForm(app: App, run: RunInfo): HTMLElement {
  const given: GivenFiles = { model: [], data: [], eval: [], prompts: [] };
  const said = h("p", { class: "help", role: "status" });
  const zone = (text: string, key: keyof typeof given, folder: boolean) =>
    dropZone(text, { folder, multiple: true }, (files) => {
      given[key] = files;
      const counts = Object.entries(given).filter(([, { length }]) => length > 0);
      said.textContent = counts.map(([name, { length }]) => `${name}: ${counted(length, "file")}`).join(", ");
    });
  const give = async () => {
    try {
      await app.client.request("give", { run: run.id, ...given });
    } catch (error) {
      app.fault(error);
    }
  };
  return h(
    "details",
    {},
    h("summary", { text: "Go on with it here" }),
    h("p", {
      class: "help",
      text: "Give the model and the logs that the command was given; the run checks that they are the same.",
    }),
    zone("The model’s folder (--model)", "model", true),
    zone("The logs (--data)", "data", false),
    zone("The held-out logs, where there were any (--eval-data)", "eval", false),
    zone("Of an online run the prompts (--prompts, --eval-prompts)", "prompts", false),
    said,
    h("button", { type: "button", text: "Use these files", onclick: () => void give() }),
  );
}
