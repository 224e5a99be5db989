import "./style.css";
import { App } from "./app";
import { catchStrayDrops } from "./drop";
import { h } from "./element";
import { FaultDialog } from "./fault";
import { hooks } from "./hooks";
import { themeButton } from "./theme";
import { benchView } from "./views/bench";
import { insideView } from "./views/inside";
import { labView } from "./views/lab";
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
  ["lab", "Lab", labView],
  ["bench", "Benchmark", benchView],
];

/** What is of no use where the page cannot train. */
const NEED_GPU = new Set(["train", "teach", "lab", "bench"]);

const worker = () => new Worker(new URL("./worker/main.ts", import.meta.url), { type: "module" });
const dialog = new FaultDialog(document.body, () => app.recovered());
// `tbrm serve --run` serves a run's files beside the page.
const shown = new URLSearchParams(location.search).get("show") === "run";
const served = shown ? new URL("run/", location.href).href : undefined;
const app: App = new App(worker, dialog, served);

const unsupported = unsupportedView(app);
const main = h("main", { id: "main", tabindex: -1 }, unsupported.root);
const places = VIEWS.map(([name, label, make]) => ({
  name,
  label,
  make,
  link: h("a", { href: `#${name}`, text: label }),
}));
/** Views are made when they are first seen, and stay. */
const views = new Map<string, View>();

function viewOf({ name, make }: (typeof places)[number]): View {
  const made = views.get(name) ?? make(app);
  if (!views.has(name)) main.append(made.root);
  views.set(name, made);
  return made;
}

function route(): void {
  const wanted = location.hash.slice(1).split("/")[0] || (served ? "runs" : "train");
  const place = places.find(({ name }) => name === wanted) ?? (places[0] as (typeof places)[number]);
  const cannot = app.unsupported !== undefined && NEED_GPU.has(place.name);
  const shown = viewOf(place);
  unsupported.root.hidden = !cannot;
  for (const view of views.values()) view.root.hidden = cannot || view !== shown;
  for (const { name, link } of places) {
    if (name === place.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = place === places[0] ? "tbrm" : `${place.label} · tbrm`;
  shown.shown?.();
}

document.body.append(
  h("a", { class: "skip", href: "#main", text: "Skip to the content", onclick: skip }),
  h(
    "header",
    {},
    h("a", { class: "brand", href: "#train", text: "tbrm" }),
    h("nav", { "aria-label": "Views" }, ...places.map(({ link }) => link)),
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
