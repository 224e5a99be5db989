import "./style.css";
import { App } from "./app";
import { catchStrayDrops } from "./drop";
import { h } from "./element";
import { FaultDialog } from "./fault";
import { hooks } from "./hooks";
import { themeButton } from "./theme";
import { benchView } from "./views/bench";
import { insideView } from "./views/inside";
import { runsView } from "./views/runs";
import { teachView } from "./views/teach";
import { trainView } from "./views/train";
import { unsupportedView } from "./views/unsupported";
import type { View } from "./views/view";

const VIEWS: [name: string, label: string, make: (app: App) => View][] = [
  ["train", "Train", trainView],
  ["inside", "Look inside", insideView],
  ["teach", "Teach", teachView],
  ["runs", "Keep", runsView],
  ["bench", "Benchmark", benchView],
];

/** What is of no use where the page cannot train. */
const NEED_GPU = new Set(["train", "teach", "bench"]);

const worker = () => new Worker(new URL("./worker/main.ts", import.meta.url), { type: "module" });
const dialog = new FaultDialog(document.body, () => app.recovered());
// `tbrm serve --run` serves a run's files beside the page.
const shown = new URLSearchParams(location.search).get("show") === "run";
const served = shown ? new URL("run/", location.href).href : undefined;
const app: App = new App(worker, dialog, served);

const unsupported = unsupportedView(app);
const views = VIEWS.map(([name, label, make]) => {
  const link = h("a", { href: `#${name}`, text: label });
  return { name, label, link, view: make(app) };
});
const main = h("main", { id: "main", tabindex: -1 }, unsupported.root, ...views.map(({ view }) => view.root));

function route(): void {
  const wanted = location.hash.slice(1).split("/")[0] || (served ? "runs" : "train");
  const shown = views.find(({ name }) => name === wanted) ?? views[0];
  const cannot = app.unsupported !== undefined && NEED_GPU.has(shown?.name ?? "");
  unsupported.root.hidden = !cannot;
  for (const { link, view } of views) {
    const current = view === shown?.view;
    view.root.hidden = !current || cannot;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = shown && shown !== views[0] ? `${shown.label} · tbrm` : "tbrm";
  shown?.view.shown?.();
}

document.body.append(
  h("a", { class: "skip", href: "#main", text: "Skip to the content", onclick: skip }),
  h(
    "header",
    {},
    h("a", { class: "brand", href: "#train", text: "tbrm" }),
    h("nav", { "aria-label": "Views" }, ...views.map(({ link }) => link)),
    themeButton(),
  ),
  main,
);

/** The hash is the view's name: a plain link to #main would leave it. */
function skip(event: Event): void {
  event.preventDefault();
  main.focus();
}

addEventListener("hashchange", route);
app.on("boot", route);
addEventListener("error", (event) => app.fault(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => app.fault(event.reason));
catchStrayDrops();
void app.start();
hooks(app, main);
route();

if (import.meta.env.PROD && "serviceWorker" in navigator) {
  // After everything else: what it keeps has just been loaded, and comes from the browser's cache.
  const register = () => navigator.serviceWorker.register("./sw.js").catch(() => {});
  if (document.readyState === "complete") register();
  else addEventListener("load", register);
}
