// A conversation with a model: what is asked, what is answered, and what a person thinks of it.

import type { App } from "../app";
import { field, h } from "../element";
import { faultOf } from "../errors";
import { counted } from "../format";
import type { ChatInfo, Drawing, Feedback, ModelInput, Prompt } from "../protocol";
import { rating } from "./rating";

type Message = Exclude<Prompt, string>[number];

/** The model that is talked to; `key` tells it from others. */
export interface Partner {
  key: string;
  input: ModelInput;
}

export interface Talk {
  root: HTMLElement;
  /** The partner changed: the conversation with the last one is over. */
  reset(): void;
}

export function talkPanel(
  app: App,
  partner: () => Partner | undefined,
  onrate: (feedback: Feedback) => void,
): Talk {
  let open: { key: string; info: ChatInfo } | undefined;
  /** Of the conversation so far; none where the model continues text. */
  let messages: Message[] = [];
  let answering: HTMLElement | undefined;

  const temperature = h("input", { type: "number", min: 0, max: 5, step: 0.1, value: 1, required: true });
  const longest = h("input", { type: "number", min: 1, max: 4096, step: 1, value: 64, required: true });
  const talk = h("div", { class: "talk", role: "log", "aria-label": "Conversation", "aria-live": "polite" });
  const prompt = h("textarea", {
    rows: 2,
    required: true,
    placeholder: "For the demo’s model: digits to sort, like 52341=",
  });
  const send = h("button", { type: "submit", class: "primary", text: "Ask" });
  const stop = h("button", {
    type: "button",
    text: "Stop",
    hidden: true,
    onclick: () => void app.client.request("chat_stop", {}),
  });
  const anew = h("button", {
    type: "button",
    text: "New conversation",
    hidden: true,
    onclick: () => reset(),
  });
  const said = h("p", { class: "muted", role: "status" });
  const form = h(
    "form",
    { class: "ask", onsubmit: ask },
    field("your prompt", prompt, "Enter asks; Shift and Enter begin a new line."),
    h("div", { class: "actions" }, send, stop, anew),
  );
  const root = h(
    "div",
    {},
    talk,
    form,
    said,
    h(
      "details",
      {},
      h("summary", { text: "How answers are drawn" }),
      h(
        "div",
        { class: "fields" },
        field(
          "temperature",
          temperature,
          "1 draws as TBRM trains; lower is more certain; 0 takes the likeliest token.",
        ),
        field("longest answer", longest, "In tokens. An answer that is cut off is logged as truncated."),
      ),
    ),
  );

  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });

  function reset(): void {
    messages = [];
    talk.replaceChildren();
    anew.hidden = true;
    said.textContent = "";
  }

  async function ask(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const text = prompt.value;
    const model = partner();
    if (text === "" || answering) return;
    if (!model) {
      said.textContent = "Choose a model first.";
      return;
    }
    if (![temperature, longest].every((control) => control.reportValidity())) return;
    if (app.training !== "idle") {
      said.textContent = "A run is being trained: stop it, or wait for it to end, then ask.";
      return;
    }
    answering = h("div", { class: "answer" });
    const turn = h("div", { class: "turn" }, h("div", { class: "prompt", text }), answering);
    talk.append(turn);
    busy(true);
    try {
      const { info } = await opened(model);
      await answer(turn, answering, text, info);
      prompt.value = "";
    } catch (error) {
      turn.remove();
      // Whoever began to train has closed the conversation.
      if (faultOf(error).kind !== "freed") app.fault(error);
    }
    answering = undefined;
    busy(false);
    turn.scrollIntoView({ block: "nearest" });
    prompt.focus();
  }

  async function answer(turn: HTMLElement, into: HTMLElement, text: string, info: ChatInfo): Promise<void> {
    const asked: Message[] = [...messages, { role: "user", content: text }];
    const drawing: Drawing = {
      temperature: temperature.valueAsNumber,
      max_new_tokens: longest.valueAsNumber,
      seed: crypto.getRandomValues(new Uint32Array(1))[0] as number,
    };
    const reply = await app.client.request("chat", { prompt: info.conversations ? asked : text, drawing });
    into.textContent = reply.text;
    into.classList.toggle("nothing", reply.text === "");
    if (info.conversations) {
      messages = [...asked, { role: "assistant", content: reply.text }];
      anew.hidden = false;
    }
    const note = `${counted(reply.tokens, "token")}${reply.finished ? "" : ", cut off"}`;
    const { record } = reply;
    const id = crypto.randomUUID();
    turn.append(
      h(
        "div",
        { class: "rate" },
        record && rating((reward) => onrate({ id, ...record, reward })),
        h("small", { class: "muted", text: note }),
      ),
    );
  }

  async function opened(model: Partner): Promise<{ info: ChatInfo }> {
    if (open?.key === model.key) return open;
    said.textContent = "Opening the model …";
    const info = await app.client.request("chat_open", { model: model.input });
    open = { key: model.key, info };
    said.textContent = info.conversations
      ? ""
      : "This model has no chat template: it continues each prompt by itself, as text.";
    return open;
  }

  function busy(now: boolean): void {
    send.disabled = now;
    stop.hidden = !now;
  }

  app.on("answer", (text) => {
    if (answering) answering.textContent = text;
  });
  const closed = () => {
    open = undefined;
  };
  app.on("closed", closed);
  // A new worker has no model open.
  app.on("boot", closed);
  return { root, reset };
}
