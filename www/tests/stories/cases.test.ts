// The core's own tests of the GPU, compiled to wasm, in real browsers: the same kernels, engine and twins as natively, but
// through a browser's shader compiler and its checks.

import { expect, test } from "vitest";
import { openFirefox } from "./firefox";
import { openSite, type Site } from "./site";
import { story } from "./story";

/** With `CASES=all`: every case in both browsers, half an hour and more without a GPU. */
const ALL = process.env.CASES === "all";
const PROGRAMS = ["kernels", "engine", "rollout", "tbrm_core"];
/**
 * Without a GPU, Chromium takes ten times as long to compile a kernel as Firefox. It runs what meets its own shader compiler
 * and its own checks; what is built on that is the same wasm, and the stories train and generate with it in Chromium.
 */
const CHROMIUM = ALL ? PROGRAMS : ["kernels", "engine"];
/** What Chromium leaves out: kernels that it compiles already, on a second device. Firefox and the native tests have it. */
const TWICE: Record<string, string[]> = ALL ? {} : { kernels: ["the_guaranteed_limits_suffice"] };
/** A case that takes longer hangs: the longest takes two minutes and a half, and machines differ. */
const PATIENCE_MS = 600_000;

interface Report {
  /** The first: what there is to run. */
  cases?: string[];
  /** One a case. */
  name?: string;
  problem?: string;
  said?: string[];
  seconds?: number;
  /** The last. */
  finished?: boolean;
}

/** Says how every case went, and returns the problems, none of which may be lost. */
async function outcomes(site: Site): Promise<string[]> {
  const [problems, ran] = [[] as string[], [] as string[]];
  let cases: string[] | undefined;
  let heard = Date.now();
  for (let at = 0; ; ) {
    const line = site.reports[at];
    if (line === undefined) {
      if (Date.now() - heard > PATIENCE_MS) return [...problems, `nothing heard after ${ran.at(-1)}`];
      await new Promise((later) => setTimeout(later, 50));
      continue;
    }
    [at, heard] = [at + 1, Date.now()];
    const report = JSON.parse(line) as Report;
    cases ??= report.cases;
    const what = report.name ?? "the page";
    if (report.name) {
      ran.push(report.name);
      console.log([`${what}: ${report.seconds?.toFixed(1)} s`, ...(report.said ?? [])].join("\n  "));
    }
    if (report.problem) problems.push(`${what}: ${report.problem}`);
    if (report.finished) break;
  }
  expect(ran.length).toBeGreaterThan(0);
  expect(ran).toEqual(cases);
  return problems;
}

/** The page that runs `program`'s cases. */
function address(site: Site, program: string, without: string[] = []): string {
  return `${site.url}?${new URLSearchParams([["program", program], ...without.map((name) => ["without", name])])}`;
}

for (const program of CHROMIUM) {
  story.concurrent(`Chromium: ${program}`, async ({ open }) => {
    const site = await openSite("tests/cases");
    try {
      const browser = await open();
      await browser.tab(address(site, program, TWICE[program]));
      expect(await outcomes(site)).toEqual([]);
    } finally {
      await site.close();
    }
  });
}

for (const program of PROGRAMS) {
  test.concurrent(`Firefox: ${program}`, async () => {
    const site = await openSite("tests/cases");
    const close = openFirefox(address(site, program));
    try {
      expect(await outcomes(site)).toEqual([]);
    } finally {
      await close();
      await site.close();
    }
  });
}
