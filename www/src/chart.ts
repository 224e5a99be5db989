// One chart of curves, over optimizer steps where nothing else is said.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { type Curve, outline, smooth } from "./curve";
import { h } from "./element";
import { short } from "./format";
import { redraw } from "./frame";

export interface ChartStyle {
  log: boolean;
  /** Weight of the past, from 0 to below 1. */
  smoothing: number;
}

const BUCKETS = 400;
const HEIGHT = 170;
/** Milliseconds between two drawings of new values. */
const INTERVAL = 100;
/** Colours of the page's theme, as #rrggbb. */
interface Palette {
  curves: string[];
  text: string;
  line: string;
}

export class Chart {
  readonly root: HTMLElement;
  private readonly readout = h("span", { class: "readout" });
  private readonly plot = h("div", { class: "plot" });
  private width = 0;
  private colours: Palette | undefined;
  private uplot: uPlot | undefined;
  private curves: Curve[] = [];
  /** The column of each curve's own values. */
  private main: number[] = [];
  /** What decides that a plot has to be made anew. */
  private made = "";

  constructor(
    title: string,
    help: string,
    private style: ChartStyle = { log: false, smoothing: 0 },
    private readonly group?: string,
    /** What x is. */
    private readonly unit = "step",
  ) {
    const heading = h("figcaption", { title: help }, h("b", { text: title }), this.readout);
    this.root = h(
      "figure",
      { class: "chart", role: "group", "aria-label": `${title}: ${help}` },
      heading,
      this.plot,
    );
    // Asking the element instead would lay out the whole page again, for every chart.
    new ResizeObserver(([entry]) => {
      this.width = Math.floor(entry?.contentRect.width ?? 0);
      redraw(this.draw);
    }).observe(this.plot);
    const recolour = () => {
      this.colours = undefined;
      redraw(this.draw);
    };
    new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  set(curves: Curve[]): void {
    this.curves = curves.filter((curve) => curve.values.some((value) => Number.isFinite(value)));
    redraw(this.draw, INTERVAL);
  }

  restyle(style: ChartStyle): void {
    this.style = style;
    redraw(this.draw);
  }

  private readonly draw = (): void => {
    const { width } = this;
    this.root.classList.toggle("empty", this.curves.length === 0);
    if (width === 0 || this.curves.length === 0) return;
    const { data, series, bands } = this.prepared();
    const shape = JSON.stringify([
      this.curves.map(({ label, colour, dashed }) => [label, colour, dashed]),
      bands.length,
      this.style.log,
      this.style.smoothing > 0,
      this.palette(),
      series.map(({ points }) => points?.show),
    ]);
    if (this.uplot && shape === this.made) {
      if (this.uplot.width !== width) this.uplot.setSize({ width, height: HEIGHT });
      this.uplot.setData(data);
    } else {
      this.uplot?.destroy();
      this.uplot = new uPlot(this.options(width, series, bands), data, this.plot);
      this.made = shape;
    }
    this.read();
  };

  /** The columns of all curves on one axis. */
  private prepared(): { data: uPlot.AlignedData; series: uPlot.Series[]; bands: uPlot.Band[] } {
    const tables: uPlot.AlignedData[] = [];
    const series: uPlot.Series[] = [];
    const bands: uPlot.Band[] = [];
    this.main = [];
    this.curves.forEach((curve, i) => {
      const { curves } = this.palette();
      const colour = curves[(curve.colour ?? i) % curves.length] as string;
      const kept = outline(curve.values, BUCKETS);
      const pick = (values: readonly number[]) => kept.map((at) => this.drawable(values[at] as number));
      const steps = kept.map((at) => curve.steps[at] as number);
      const smoothing = this.style.smoothing;
      const sparse = kept.filter((at) => Number.isFinite(curve.values[at])).length < 40 && !curve.dashed;
      const line = { label: curve.label, spanGaps: true, points: { show: sparse, size: 5 } };
      const edge = { ...line, stroke: faint(colour), width: 1, points: { show: false } };
      const dash = curve.dashed ? { dash: [6, 4], stroke: this.palette().text } : {};
      if (curve.low && curve.high) {
        tables.push([steps, pick(curve.high), pick(curve.low)]);
        series.push(edge, edge);
        bands.push({ series: [series.length - 1, series.length], fill: veil(colour) });
      }
      if (smoothing > 0 && !curve.dashed) {
        tables.push([steps, pick(curve.values), pick(smooth(curve.values, smoothing))]);
        series.push(edge, { ...line, stroke: colour, width: 2 });
        this.main.push(series.length - 1);
      } else {
        tables.push([steps, pick(curve.values)]);
        series.push({ ...line, stroke: colour, width: 1.5, ...dash });
        this.main.push(series.length);
      }
    });
    const [only] = tables;
    return { data: tables.length === 1 && only ? only : uPlot.join(tables), series, bands };
  }

  private palette(): Palette {
    if (this.colours) return this.colours;
    const style = getComputedStyle(this.root);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const curves = [1, 2, 3, 4, 5, 6].map((i) => colour(`--curve-${i}`));
    this.colours = { curves, text: colour("--muted"), line: colour("--line") };
    return this.colours;
  }

  private drawable(value: number): number | null {
    return Number.isFinite(value) && (!this.style.log || value > 0) ? value : null;
  }

  private options(width: number, series: uPlot.Series[], bands: uPlot.Band[]): uPlot.Options {
    const { text, line } = this.palette();
    const axis = {
      stroke: text,
      font: "11px system-ui, sans-serif",
      grid: { stroke: line, width: 1 },
      ticks: { show: false },
    };
    const values = (_: uPlot, ticks: (number | null)[]) =>
      ticks.map((tick) => (tick === null ? "" : short(tick)));
    const sync = this.group ? { sync: { key: this.group, setSeries: false } } : {};
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false }, points: { size: 6 }, ...sync },
      scales: { x: { time: false }, y: this.style.log ? { distr: 3 } : { range } },
      axes: [
        {
          ...axis,
          size: 26,
          space: 60,
          values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(tick) : "")),
        },
        {
          ...axis,
          grid: { ...axis.grid, filter: this.style.log ? powers : all },
          size: 52,
          space: 28,
          values,
        },
      ],
      series: [{ label: this.unit }, ...series],
      bands,
      hooks: { setCursor: [() => this.read()] },
    };
  }

  /** Says the values under the cursor, or the last ones. */
  private read(): void {
    const plot = this.uplot;
    if (!plot) return;
    const at = plot.cursor.idx ?? undefined;
    const parts: string[] = [];
    this.curves.forEach((curve, i) => {
      const column = plot.data[this.main[i] ?? 0] as (number | null | undefined)[];
      const value =
        at === undefined ? column.findLast((known) => known !== null && known !== undefined) : column[at];
      parts.push(this.curves.length > 1 ? `${curve.label} ${short(value)}` : short(value));
    });
    const where = at === undefined ? "" : `${this.unit} ${plot.data[0][at]}: `;
    this.readout.textContent = where + parts.join(" · ");
  }
}

/** A single value has no spread to scale by: a share stands between nothing and all. */
function range(_: uPlot, least: number, most: number): uPlot.Range.MinMax {
  return least === most && least >= 0 && most <= 1 ? [0, 1] : uPlot.rangeNum(least, most, 0.1, true);
}

const all = (_: uPlot, ticks: number[]) => ticks;

/** Of a logarithmic axis the lines at powers of ten: those between lie so close that they hide the curves. */
function powers(_: uPlot, ticks: number[]): (number | null)[] {
  return ticks.map((tick) =>
    Math.abs(Math.log10(tick) - Math.round(Math.log10(tick))) < 1e-6 ? tick : null,
  );
}

/** The same colour, mostly transparent. */
function faint(colour: string): string {
  return `${colour}55`;
}

/** Hardly there: several lie over one another. */
function veil(colour: string): string {
  return `${colour}22`;
}
