// What went wrong, in one dialog. The first error wins: what follows from it only hides the cause.

import { h } from "./element";
import type { Fault } from "./protocol";

export interface Remedy {
  label: string;
  act(): void;
  /** What has to be done even by those who only close the dialog. */
  dismiss(): void;
}

export class FaultDialog {
  private readonly what = h("h2", { id: "fault-what" });
  private readonly help = h("p", { id: "fault-help" });
  private readonly actions = h("div", { class: "actions" });
  private readonly dialog = h(
    "dialog",
    { id: "fault", "aria-labelledby": "fault-what", "aria-describedby": "fault-help" },
    this.what,
    this.help,
    this.actions,
  );

  private remedy: Remedy | undefined;

  constructor(parent: Element, onclose: () => void) {
    parent.append(this.dialog);
    this.dialog.addEventListener("close", () => {
      onclose();
      this.remedy?.dismiss();
    });
  }

  get open(): boolean {
    return this.dialog.open;
  }

  /** Whether it is shown: not while another one is. */
  show(fault: Fault, remedy?: Remedy): boolean {
    if (this.dialog.open) return false;
    this.dialog.dataset.kind = fault.kind;
    this.what.textContent = sentence(fault.what);
    this.help.textContent = sentence(fault.help);
    this.remedy = remedy;
    const close = h("button", { type: "button", text: "Close", onclick: () => this.dialog.close() });
    const act = () => {
      this.remedy = undefined;
      this.dialog.close();
      remedy?.act();
    };
    const first =
      remedy && h("button", { type: "button", class: "primary", text: remedy.label, onclick: act });
    this.actions.replaceChildren(...(first ? [first, close] : [close]));
    this.dialog.showModal();
    return true;
  }
}

/** The core's messages begin small and end without a full stop. */
export function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** Asks before something is lost. */
export function confirmed(question: string, label: string): Promise<boolean> {
  return new Promise((resolve) => {
    const close = (answer: string) => () => dialog.close(answer);
    const dialog = h(
      "dialog",
      { "aria-labelledby": "confirm-question" },
      h("p", { id: "confirm-question", text: question }),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", class: "danger", text: label, onclick: close("yes") }),
        h("button", { type: "button", text: "Cancel", onclick: close("no"), autofocus: true }),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
