// The runs that this browser keeps: looked at, compared, renamed, deleted, downloaded, and loaded from elsewhere.

import type { App } from "../app";
import { dropZone } from "../drop";
import { fill, h } from "../element";
import { faultOf } from "../errors";
import { confirmed } from "../fault";
import { bytes, count, day, percent, short } from "../format";
import { forget } from "../memory";
import type { NamedFile, RunInfo } from "../protocol";
import { comparison } from "./compare";
import { downloads } from "./downloads";
import { inputsForm } from "./inputs";
import type { View } from "./view";

/** Milliseconds between two looks at a served run. */
const FOLLOW_EVERY = 5000;

export function runsView(app: App): View {
  const chosen = new Set<string>();
  const list = h("ul", { class: "runs" });
  const storage = h("p", { class: "muted", id: "storage" });
  const said = h("p", { role: "status", class: "muted" });
  const compare = comparison(app);
  const load = dropZone(
    "Load a run of the command: its folder (runs/demo, …) or a .zip of it",
    { folder: true, accept: ".zip" },
    (files) => void take(files),
  );
  const root = h(
    "section",
    { "aria-label": "Keep" },
    h("h1", { text: "Kept runs" }),
    h("p", {
      class: "lead",
      text: "Runs and their checkpoints stay in this browser, on this machine, until you delete them. Tick some to compare their curves.",
    }),
    list,
    load,
    said,
    storage,
    compare.root,
  );

  async function take(files: NamedFile[]): Promise<void> {
    const first = files[0]?.path ?? "";
    const name = first.includes("/") ? first.split("/")[0] : first.replace(/\.zip$/, "");
    said.textContent = "Loading …";
    try {
      const { run } = await app.client.request("load", { name: name || "Loaded run", files });
      chosen.add(run);
      said.textContent = "Loaded.";
      await compare.show(chosen);
    } catch (error) {
      said.textContent = "";
      app.fault(error);
    }
  }

  async function attempt(act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      app.fault(error);
    }
  }

  function row(run: RunInfo): HTMLElement {
    const here = app.training !== "idle" && app.live?.run === run.id;
    const elsewhere = run.busy && !here;
    const tick = h("input", {
      type: "checkbox",
      checked: chosen.has(run.id),
      "aria-label": `Compare ${run.name}`,
    });
    tick.addEventListener("change", () => {
      if (tick.checked) chosen.add(run.id);
      else chosen.delete(run.id);
      void attempt(() => compare.show(chosen));
    });
    const name = h("input", {
      type: "text",
      class: "name",
      value: run.name,
      maxlength: 80,
      "aria-label": "Name of the run",
      disabled: run.busy || run.served,
    });
    name.addEventListener(
      "change",
      () =>
        void attempt(() =>
          app.client.request("rename", { run: run.id, name: name.value.trim() || run.name }),
        ),
    );
    const remove = async () => {
      if (!(await confirmed(`Delete “${run.name}” with its checkpoints? This cannot be undone.`, "Delete")))
        return;
      chosen.delete(run.id);
      forget(run.id);
      await attempt(() => app.client.request("remove", { run: run.id }));
      await attempt(() => compare.show(chosen));
    };
    return h(
      "li",
      { "data-run": run.id },
      h(
        "div",
        { class: "head" },
        tick,
        name,
        h("span", { class: `badge ${badge(run, here)}`, text: badge(run, here) }),
      ),
      h("p", { class: "facts muted", text: facts(run) }),
      elsewhere &&
        h("p", { class: "notice", text: "Another tab trains this run: here it can only be read." }),
      h(
        "div",
        { class: "actions" },
        run.resumable &&
          !run.busy &&
          h("button", {
            type: "button",
            text: "Resume",
            disabled: app.training !== "idle" || !app.boot,
            onclick: () => void resume(run),
          }),
        !run.served &&
          h("button", { type: "button", text: "Delete", disabled: run.busy, onclick: () => void remove() }),
      ),
      !run.finished && !run.resumable && !run.served && inputsForm(app, run),
      downloads(app, run),
    );
  }

  async function resume(run: RunInfo): Promise<void> {
    location.hash = "train";
    await app.resume(run);
  }

  let drawn = "";
  function draw(): void {
    // A list that is made anew closes what was opened in it, and loses the focus.
    const now = JSON.stringify([app.runs, app.training === "idle", app.boot !== undefined]);
    if (now === drawn) return;
    drawn = now;
    fill(list, ...app.runs.map(row));
    if (app.runs.length === 0)
      list.append(h("li", { class: "muted", text: "None yet. Train the demo, or load a run below." }));
    void showStorage();
  }

  async function showStorage(): Promise<void> {
    try {
      const { usage, quota } = await app.client.request("storage", {});
      const kept = await navigator.storage?.persisted?.();
      const promise = kept
        ? "The browser has promised to keep it."
        : "The browser may evict it when the disk fills up: download what matters.";
      storage.textContent = `${bytes(usage)} of ${bytes(quota)} used. ${promise}`;
    } catch (error) {
      storage.textContent = faultOf(error).what;
    }
  }

  let first = true;
  function chooseServed(): void {
    const served = app.runs.find((run) => run.served);
    if (!served || !first) return;
    first = false;
    chosen.add(served.id);
    void attempt(() => compare.show(chosen));
  }

  async function follow(): Promise<void> {
    if (root.hidden || !app.runs.some((run) => run.served && !run.finished)) return;
    await app.loadRuns();
    if (chosen.size > 0) await attempt(() => compare.show(chosen));
  }

  app.on("runs", chooseServed);
  for (const topic of ["runs", "state", "boot"] as const) app.on(topic, draw);
  // A server does not tell when the run that it serves went on.
  setInterval(follow, FOLLOW_EVERY);
  return {
    root,
    shown() {
      draw();
      void attempt(() => compare.show(chosen));
    },
  };
}

function badge(run: RunInfo, here: boolean): string {
  if (here) return "training";
  if (run.served) return "served";
  if (run.busy) return "read-only";
  if (run.finished) return "finished";
  return run.resumable ? "unfinished" : "loaded";
}

function facts(run: RunInfo): string {
  const steps = run.steps > 0 ? `step ${count(run.step)} of ${count(run.steps)}` : `${count(run.step)} steps`;
  const parts = [day(run.created), steps];
  if (run.loss !== null) parts.push(`loss ${short(run.loss)}`);
  if (run.accuracy !== null) parts.push(`accuracy ${percent(run.accuracy)}`);
  if (run.bytes > 0) parts.push(bytes(run.bytes));
  return parts.filter((part) => part !== "").join(" · ");
}
