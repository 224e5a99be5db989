// Talk to a model, rate what it says, and let it learn from that.

import type { App } from "../app";
import { field, fill, h, select } from "../element";
import { short } from "../format";
import type { Feedback, ModelInput } from "../protocol";
import { save } from "../save";
import { rating } from "./rating";
import type { View } from "./view";

export function teachView(app: App): View {
  let open = "";
  let all: Feedback[] = [];

  const model = select([], "");
  const temperature = h("input", { type: "number", min: 0, max: 5, step: 0.1, value: 1 });
  const longest = h("input", { type: "number", min: 1, max: 4096, step: 1, value: 64 });
  const talk = h("div", { class: "talk", role: "log", "aria-label": "Conversation", "aria-live": "polite" });
  const prompt = h("textarea", {
    rows: 2,
    required: true,
    placeholder: "For the demo’s model: digits to sort, like 52341=",
  });
  const send = h("button", { type: "submit", class: "primary", text: "Ask" });
  const said = h("p", { class: "muted", role: "status" });
  const log = h("div");
  const learn = h("button", { type: "button", class: "primary", text: "Learn from my feedback" });
  const out = h("button", { type: "button", text: "Export as JSONL" });
  const body = h(
    "div",
    {},
    h(
      "div",
      { class: "fields" },
      field("model", model),
      field("temperature", temperature, "0 takes the likeliest token."),
      field("longest answer", longest, "In tokens."),
    ),
    talk,
    h("form", { class: "ask", onsubmit: ask }, field("your prompt", prompt), send),
    said,
    h("h2", { text: "Your feedback" }),
    log,
    h("div", { class: "actions" }, learn, out),
  );
  const empty = h("p", {
    class: "muted",
    text: "There is no trained model in this browser yet. Train the demo first, then come back.",
  });
  const root = h(
    "section",
    { "aria-label": "Teach by hand" },
    h("h1", { text: "Teach by hand" }),
    h("p", {
      class: "lead",
      text: "Ask the model, rate its answers, then let it learn from your ratings by TBRM: each rated answer is a log record like any other.",
    }),
    empty,
    body,
  );
  let answering: HTMLElement | undefined;

  async function ask(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const text = prompt.value;
    if (text === "" || answering) return;
    if (app.training !== "idle") {
      said.textContent = "A run is being trained: stop it, or wait for it to end, then ask.";
      return;
    }
    answering = h("span", { class: "answer" });
    const turn = h("div", { class: "turn" }, h("div", { class: "prompt", text }), answering);
    talk.append(turn);
    send.disabled = true;
    try {
      await openModel();
      said.textContent = "";
      const sampling = {
        temperature: temperature.valueAsNumber,
        top_p: 1,
        max_new_tokens: longest.valueAsNumber,
        seed: Date.now() % 2 ** 32,
      };
      const answer = await app.client.request("chat", { prompt: text, sampling });
      answering.textContent = answer.text;
      const feedback = { id: crypto.randomUUID(), prompt: text, completion: answer.text, reward: 0 };
      const note = `${answer.tokens} tokens, logp ${short(answer.logp)}${answer.finished ? "" : ", cut off"}`;
      turn.append(
        h(
          "div",
          { class: "rate" },
          rating((reward) => void rate({ ...feedback, reward })),
          h("small", { class: "muted", text: note }),
        ),
      );
      prompt.value = "";
    } catch (error) {
      turn.remove();
      app.fault(error);
    }
    answering = undefined;
    send.disabled = false;
    turn.scrollIntoView({ block: "nearest" });
    prompt.focus();
  }

  async function openModel(): Promise<void> {
    if (open === model.value) return;
    said.textContent = "Opening the model …";
    await app.client.request("chat_open", { model: chosen() });
    open = model.value;
  }

  function chosen(): ModelInput {
    return { kind: "run", run: model.value, which: "newest" };
  }

  async function rate(feedback: Feedback): Promise<void> {
    await attempt(() => app.client.request("rate", { feedback }));
  }

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
    const rows = all.toReversed().map((feedback) =>
      h(
        "tr",
        {},
        h(
          "td",
          {},
          h("code", {
            text: typeof feedback.prompt === "string" ? feedback.prompt : JSON.stringify(feedback.prompt),
          }),
        ),
        h("td", {}, h("code", { text: feedback.completion })),
        h("td", { class: "number", text: short(feedback.reward) }),
        h(
          "td",
          {},
          h("button", {
            type: "button",
            text: "Remove",
            onclick: () => void attempt(() => app.client.request("unrate", { id: feedback.id })),
          }),
        ),
      ),
    );
    const head = h(
      "tr",
      {},
      ...["prompt", "answer", "reward", ""].map((text) => h("th", { scope: "col", text })),
    );
    fill(
      log,
      rows.length > 0
        ? h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows))
        : h("p", { class: "muted", text: "Nothing rated yet." }),
    );
    buttons();
  }

  function records(): Blob {
    return new Blob(
      all.map(
        ({ id, prompt, completion, reward }) => `${JSON.stringify({ id, prompt, completion, reward })}\n`,
      ),
    );
  }

  function buttons(): void {
    learn.disabled = all.length === 0 || app.training !== "idle" || model.value === "";
    out.disabled = all.length === 0;
  }

  function listModels(): void {
    const value = model.value;
    // Not the run that is being trained: its files change.
    const kept = app.runs.filter((run) => run.finished || run.saved > 0);
    model.replaceChildren(...kept.map(({ id, name }) => h("option", { value: id, text: name })));
    const wanted = kept.some(({ id }) => id === value) ? value : app.live?.run;
    if (kept.some(({ id }) => id === wanted)) model.value = wanted ?? "";
    empty.hidden = kept.length > 0;
    body.hidden = kept.length === 0 && all.length === 0;
    buttons();
  }

  learn.addEventListener("click", () => {
    const name = `${app.runs.find(({ id }) => id === model.value)?.name ?? "Model"}, taught`;
    const data = [{ path: "feedback.jsonl", file: records() }];
    // Few records: many passes over all of them, in small steps. The calibrated residual starts at -R / beta.
    const settings = { steps: 60, batch: Math.min(16, all.length), calibrate: "v-ref", beta: 0.2 };
    void app.train(name, { model: chosen(), data, eval: [], settings });
    location.hash = "train";
  });
  out.addEventListener("click", () => save(records(), "feedback.jsonl"));
  app.on("token", (text) => answering?.append(text));
  app.on("runs", listModels);
  app.on("live", () => {
    // Training closes the chat.
    if (app.training !== "idle") open = "";
  });
  app.on("state", buttons);
  return {
    root,
    shown() {
      void attempt(async () => {});
      listModels();
    },
  };
}
