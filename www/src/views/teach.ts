// Talk to a model, rate what it says, and let it learn from that.

import type { App } from "../app";
import { dropZone } from "../drop";
import { field, fill, h, select } from "../element";
import type { ModelInput, NamedFile } from "../protocol";
import { recordsOf } from "../records";
import { SettingsForm } from "../settings";
import { describeModel } from "./model";
import { ratingsPanel } from "./ratings";
import { talkPanel } from "./talk";
import type { View } from "./view";

const FOLDER = "folder";

/** Few records: many passes over all of them. The residual less the reference's value starts at -R / beta. */
const LEARNING = { steps: 60, calibrate: "v-ref", beta: 0.2 };

export function teachView(app: App): View {
  let files: NamedFile[] = [];
  let form: SettingsForm | undefined;

  const model = select([[FOLDER, "a folder of mine (Hugging Face)"]], FOLDER);
  const folderState = h("p", { class: "help", "aria-live": "polite" });
  const folder = h(
    "div",
    {},
    dropZone(
      "Drop a Hugging Face folder: config.json, model.safetensors, tokenizer.json",
      { folder: true, multiple: true },
      (given) => {
        files = given;
        folderState.textContent = describeModel(given);
        talk.reset();
        enable();
      },
    ),
    folderState,
  );
  const ratings = ratingsPanel(app, enable);
  const talk = talkPanel(app, partner, (feedback) => ratings.rate(feedback));
  const learn = h("button", {
    type: "button",
    class: "primary",
    text: "Learn from my feedback",
    onclick: () => train(),
  });
  const why = h("span", { class: "muted", role: "status" });
  const settings = h("div");
  const empty = h(
    "p",
    { class: "notice", hidden: true },
    h("span", { text: "No run in this browser has a model yet." }),
    h("a", { href: "#train", class: "button", text: "Train the demo first" }),
    h("span", { text: "or give a model of yours:" }),
  );
  const root = h(
    "section",
    { "aria-label": "Teach by hand" },
    h("h1", { text: "Teach by hand" }),
    h("p", {
      class: "lead",
      text: "Ask a model, rate its answers, then let it learn from your ratings by TBRM: each rated answer is a log record like any other.",
    }),
    h(
      "div",
      { class: "fields" },
      field("model", model, "A run of this browser, as it is now, or a model of yours."),
    ),
    empty,
    folder,
    talk.root,
    h("h2", { text: "Your feedback" }),
    ratings.root,
    h("h2", { text: "Learn" }),
    h("p", {
      class: "help",
      text: "Makes a new run from the model above, trained on all rated answers. Rate good and bad ones: a model learns from the difference.",
    }),
    h("div", { class: "actions" }, learn, why),
    h("details", {}, h("summary", { text: "How it learns" }), settings),
  );

  function partner(): { key: string; input: ModelInput } | undefined {
    if (model.value === FOLDER) {
      const key = files.map(({ path, file }) => `${path} ${file.size}`).join();
      return files.length > 0 ? { key, input: { kind: "files", files } } : undefined;
    }
    const run = app.runs.find(({ id }) => id === model.value);
    // A run that went on has another model now.
    return (
      run && {
        key: `${run.id} ${run.saved} ${run.finished}`,
        input: { kind: "run", run: run.id, which: "newest" },
      }
    );
  }

  function train(): void {
    const chosen = partner();
    if (!chosen || !form?.valid()) return;
    const data = [{ path: "feedback.jsonl", file: recordsOf(ratings.all()) }];
    const name = app.runs.find(({ id }) => id === model.value)?.name ?? "My model";
    const spec = { model: chosen.input, data, eval: [], settings: form.values() };
    void app.train(`${name.replace(/, taught$/, "")}, taught`, spec);
    location.hash = "train";
  }

  /** The settings, once the engine has told them. */
  function makeForm(): void {
    if (!app.boot || form) return;
    form = new SettingsForm(app.boot.settings, () => {});
    form.fill(LEARNING);
    fill(settings, form.root);
  }

  function enable(): void {
    makeForm();
    folder.hidden = model.value !== FOLDER;
    const lacking = [
      !app.boot && "The engine is getting ready.",
      partner() === undefined && "Choose a model first.",
      ratings.all().length === 0 && "Rate an answer first.",
      app.training !== "idle" && "A run is being trained.",
    ].find((reason) => reason !== false);
    learn.disabled = lacking !== undefined;
    why.textContent = lacking ?? "";
  }

  /** The person's choice, or the run that has just been trained here. */
  let wanted = "";
  let trained = "";
  function listModels(): void {
    const here = app.live?.complete ? app.live.run : trained;
    if (here !== trained) wanted = here;
    trained = here;
    const kept = app.runs.filter((run) => run.finished || run.saved > 0);
    const options: [string, string][] = [
      ...kept.map(({ id, name }): [string, string] => [id, name]),
      [FOLDER, "a folder of mine (Hugging Face)"],
    ];
    empty.hidden = kept.length > 0;
    const before = model.value;
    model.replaceChildren(...options.map(([value, text]) => h("option", { value, text })));
    model.value = (options.find(([value]) => value === wanted) ?? options[0])?.[0] ?? FOLDER;
    if (model.value !== before) talk.reset();
    enable();
  }

  model.addEventListener("change", () => {
    wanted = model.value;
    talk.reset();
    enable();
  });
  app.on("runs", listModels);
  for (const topic of ["state", "boot"] as const) app.on(topic, enable);
  return {
    root,
    shown() {
      void ratings.load();
      listModels();
    },
  };
}
