// The comparisons that this browser keeps.

import type { App } from "../app";
import { fill, h } from "../element";
import { confirmed } from "../fault";
import { bytes, count, counted, day } from "../format";
import type { LabInfo } from "../lab-protocol";
import { fileName, save } from "../save";

interface Acts {
  look(lab: string): void;
  resume(lab: LabInfo): void;
  gone(lab: string): void;
}

export function keptLabs(
  app: App,
  acts: Acts,
): { root: HTMLElement; update(): void; nameOf(lab: string): string | undefined } {
  let labs: LabInfo[] = [];
  let drawn = "";
  const list = h("ul", { class: "runs" });
  const root = h("section", { hidden: true }, h("h2", { text: "Kept comparisons" }), list);

  async function load(): Promise<void> {
    await attempt(async () => {
      labs = await app.client.request("labs", {});
      app.labChanged();
    });
  }

  async function attempt(act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      app.fault(error);
    }
  }

  async function report({ id, name }: LabInfo): Promise<void> {
    save(await app.client.request("lab_report", { lab: id }), `${fileName(name)}.html`);
  }

  async function remove({ id, name }: LabInfo): Promise<void> {
    if (!(await confirmed(`Delete “${name}” with its results? This cannot be undone.`, "Delete"))) return;
    await app.client.request("lab_remove", { lab: id });
    acts.gone(id);
  }

  function row(lab: LabInfo): HTMLElement {
    const here = app.lab.working === "compare" && app.lab.compare.lab === lab.id;
    const state = here ? "training" : lab.busy ? "read-only" : lab.finished ? "finished" : "unfinished";
    const idle = app.lab.working === undefined && app.training === "idle" && app.boot !== undefined;
    const button = (text: string, act: () => void, disabled = false) =>
      h("button", { type: "button", text, disabled, "aria-label": `${text}: ${lab.name}`, onclick: act });
    return h(
      "li",
      { "data-lab": lab.id },
      h(
        "div",
        { class: "head" },
        h("b", { class: "name", text: lab.name }),
        h("span", { class: `badge ${state}`, text: state }),
      ),
      h("p", {
        class: "facts muted",
        text: `${day(lab.created)} · ${count(here ? app.lab.compare.done : lab.done)} of ${counted(here ? app.lab.compare.runs : lab.runs, "run")} · ${bytes(lab.bytes)}`,
      }),
      h(
        "div",
        { class: "actions" },
        lab.done > 0 && button("Show", () => acts.look(lab.id), app.lab.working === "compare"),
        !lab.finished && !lab.busy && button("Go on", () => acts.resume(lab), !idle),
        lab.finished && button("Download the report", () => void attempt(() => report(lab))),
        button("Delete", () => void attempt(() => remove(lab)), lab.busy),
      ),
    );
  }

  function update(): void {
    // A list that is made anew loses the focus.
    const now = JSON.stringify([
      labs,
      app.lab.working,
      app.lab.compare.done,
      app.training,
      app.boot !== undefined,
    ]);
    if (now === drawn) return;
    drawn = now;
    root.hidden = labs.length === 0;
    fill(list, ...labs.map(row));
  }

  // After a crash nobody says that what it wrote is free again.
  for (const topic of ["labs", "boot"] as const) app.on(topic, () => void load());
  void load();
  return { root, update, nameOf: (lab) => labs.find(({ id }) => id === lab)?.name };
}
