// Curves of several runs on one chart.

import type { App } from "../app";
import { Chart, type ChartStyle } from "../chart";
import type { Curve } from "../curve";
import { fill, h, select } from "../element";
import { Columns } from "../live";
import { HELD_OUT, METRICS, type MetricInfo, OTHERS } from "../metrics";
import { styleOf } from "./progress";
import { styleControls } from "./style";

const ALL = [...METRICS, ...HELD_OUT, ...OTHERS];

export function comparison(app: App): { root: HTMLElement; show(runs: Set<string>): Promise<void> } {
  let style: ChartStyle = { log: false, smoothing: 0.6 };
  let curves: { name: string; columns: Columns }[] = [];
  let asked = 0;
  const choice = select(
    ALL.map(({ key, label }): [string, string] => [key, label]),
    "loss",
  );
  const place = h("div", { class: "charts one" });
  const keys = h("ul", { class: "keys" });
  const controls = styleControls(style, (changed) => {
    style = changed;
    draw();
  });
  const root = h(
    "section",
    { hidden: true },
    h("h2", { text: "Compared" }),
    h("div", { class: "toolbar" }, h("label", {}, "curve ", choice), controls),
    keys,
    place,
  );

  const charts = new Map<string, Chart>();

  function draw(): void {
    const metric = ALL.find(({ key }) => key === choice.value) as MetricInfo;
    const chart = charts.get(metric.key) ?? new Chart(metric.label, metric.help, style);
    charts.set(metric.key, chart);
    fill(place, chart.root);
    chart.restyle(styleOf(metric, style));
    const found = curves.filter(({ columns }) => columns.has(metric.key));
    chart.set(
      found.map(
        ({ name, columns }): Curve => ({
          label: name,
          steps: columns.steps,
          values: columns.get(metric.key),
        }),
      ),
    );
    const lacking = curves.length - found.length;
    fill(
      keys,
      ...found.map(({ name }, i) => h("li", { class: `key-${(i % 6) + 1}`, text: name })),
      lacking > 0 && h("li", { class: "muted", text: `${lacking} without this curve` }),
    );
  }

  choice.addEventListener("change", draw);
  return {
    root,
    async show(runs) {
      const mine = ++asked;
      const wanted = app.runs.filter(({ id }) => runs.has(id));
      const histories = await Promise.all(wanted.map(({ id }) => app.client.request("history", { run: id })));
      if (mine !== asked) return;
      curves = histories.map((history, i) => ({ name: wanted[i]?.name ?? "", columns: Columns.of(history) }));
      root.hidden = curves.length === 0;
      draw();
    },
  };
}
