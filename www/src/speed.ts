// How long a run may take here, from how fast this device was before.

import type { App } from "./app";
import type { BenchReport, Estimate } from "./protocol";

/** What a time is estimated from. */
type Work = Pick<Estimate, "params" | "tokens">;

const KEY = "tbrm.speed";

interface Speed {
  device: string;
  params: number;
  tokens_per_s: number;
}

/** Remembers a measured speed. */
export function remember(report: BenchReport, params: number): void {
  const { device, tokens_per_s } = report;
  localStorage.setItem(KEY, JSON.stringify({ device, params, tokens_per_s } satisfies Speed));
}

/**
 * A rough number of seconds: tokens cost in proportion to parameters. Undefined where it cannot be measured now; the first
 * time it costs a few steps of the smallest preset.
 */
export async function secondsFor(app: App, estimate: Work): Promise<number | undefined> {
  return seconds(estimate, known(app) ?? (await measured(app)));
}

/** The same, where it was measured before. */
export function knownSeconds(app: App, estimate: Work): number | undefined {
  return seconds(estimate, known(app));
}

function seconds({ params, tokens }: Work, speed: Speed | undefined): number | undefined {
  return speed && (tokens * Math.max(1, params / speed.params)) / speed.tokens_per_s;
}

function known(app: App): Speed | undefined {
  try {
    const speed = JSON.parse(localStorage.getItem(KEY) ?? "null") as Speed | null;
    return speed && speed.device === app.boot?.device.name ? speed : undefined;
  } catch {
    return undefined;
  }
}

async function measured(app: App): Promise<Speed | undefined> {
  const device = app.boot?.device.name;
  const params = app.boot?.presets.find(({ name }) => name === "nano")?.params;
  if (app.training !== "idle" || app.lab.working || device === undefined || params === undefined)
    return undefined;
  const report = await app.client.request("bench", { preset: "nano", steps: 3, objective: "tbrm" });
  remember({ ...report, device }, params);
  return { device, params, tokens_per_s: report.tokens_per_s };
}
