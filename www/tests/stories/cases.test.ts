// The core's own tests of the GPU, compiled to wasm, in real browsers: the same kernels, engine and twins as natively, but
// through a browser's shader compiler and its checks.

import { expect, test } from "vitest";
import { openFirefox } from "./firefox";
import { openSite, type Site } from "./site";
import { story } from "./story";

const PROGRAMS = ["kernels"];
/** A case that takes longer hangs. */
const PATIENCE_MS = 180_000;

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

for (const program of PROGRAMS) {
  story(`Chromium: ${program}`, async ({ open }) => {
    const site = await openSite("tests/cases");
    try {
      const browser = await open();
      await browser.tab(`${site.url}?program=${program}`);
      expect(await outcomes(site)).toEqual([]);
    } finally {
      await site.close();
    }
  });

  test(`Firefox: ${program}`, async () => {
    const site = await openSite("tests/cases");
    const close = openFirefox(`${site.url}?program=${program}`);
    try {
      expect(await outcomes(site)).toEqual([]);
    } finally {
      await close();
      await site.close();
    }
  });
}
