// What is missing where this page cannot train, and where it can.

import type { App } from "../app";
import { fill, h } from "../element";
import { sentence } from "../fault";

const WHERE = [
  "Chrome or Edge 113 or newer on Windows, macOS and ChromeOS; 121 or newer on Android",
  "Firefox 141 or newer on Windows, 145 or newer on macOS",
  "Safari 26 or newer on macOS, iOS and iPadOS",
  "Linux: Chrome with chrome://flags/#enable-unsafe-webgpu and #enable-vulkan, or Firefox with dom.webgpu.enabled in about:config",
];

export function unsupportedView(app: App): { root: HTMLElement } {
  const why = h("ul");
  const root = h(
    "section",
    { class: "unsupported", hidden: true, "aria-label": "This browser cannot train" },
    h("h1", { text: "This browser cannot train yet" }),
    h("p", { class: "lead", text: "Training needs WebGPU, the browser’s way to the graphics processor." }),
    h("h2", { text: "What is missing" }),
    why,
    h("h2", { text: "Where it works" }),
    h("ul", {}, ...WHERE.map((text) => h("li", { text }))),
    h(
      "p",
      { class: "help" },
      "Runs that are kept in this browser can still be looked at and downloaded. Without a browser: the command ",
      h("code", { text: "tbrm demo" }),
      " does the same, also on a machine without a GPU.",
    ),
    h("button", { type: "button", text: "Try again", onclick: () => void app.start() }),
  );
  app.on("boot", () => {
    const { what, help } = app.unsupported ?? { what: "", help: "" };
    fill(why, ...missing().map((text) => h("li", { text })), h("li", { text: sentence(`${what}: ${help}`) }));
  });
  return { root };
}

/** What can be told without asking the adapter. */
function missing(): string[] {
  const found: string[] = [];
  if (!isSecureContext) found.push("a secure address: open the page by https, or from localhost");
  else if (!("gpu" in navigator)) found.push("WebGPU: this browser does not have it, or has it turned off");
  if (typeof WebAssembly === "undefined") found.push("WebAssembly, which may be turned off by a policy");
  return found;
}
