// The core's own tests of the GPU, compiled to wasm, in real browsers: the same kernels, engine and twins as natively, but
// through a browser's shader compiler and its checks.

import { expect, test } from "vitest";
import { openFirefox } from "./firefox";
import { openSite, type Site } from "./site";
import { story } from "./story";

/** With `CASES=all`: every case in every browser, half an hour and more without a GPU. */
const ALL = process.env.CASES === "all";
/** The kernels meet both browsers' shader compilers; what is built on them is the same wasm, and one browser will do. */
const PROGRAMS = { Chromium: ["kernels", "engine", "rollout", "tbrm_core"], Firefox: ["kernels"] };
/** Whole trainings, which take minutes on a processor: natively every run of the tests has them. */
const LONG = [
  "a_comparison_goes_on_where_it_was_stopped",
  "a_pilot_finds_what_there_is_and_says_the_same_again",
  "a_sweep_goes_on_where_it_was_stopped",
  "every_objective_that_rollouts_can_feed_runs",
  "ppo_and_its_critic_learn_and_go_on_to_the_same_bits",
  "steps_that_come_back_together_are_the_same",
  "tbrm_nears_the_optimum_from_logs_and_from_rollouts_beside_the_others",
  "tbrm_reaches_the_optimal_policy_and_log_z_from_its_own_trajectories",
  "tbrm_reaches_the_optimal_policy_and_log_z_from_off_policy_data",
  "the_model_learns_from_its_own_completions",
];
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

/** The page that runs `program`'s cases. */
function address(site: Site, program: string): string {
  const without = ALL || program !== "tbrm_core" ? [] : LONG;
  return `${site.url}?${new URLSearchParams([["program", program], ...without.map((name) => ["without", name])])}`;
}

for (const program of PROGRAMS.Chromium) {
  story.concurrent(`Chromium: ${program}`, async ({ open }) => {
    const site = await openSite("tests/cases");
    try {
      const browser = await open();
      await browser.tab(address(site, program));
      expect(await outcomes(site)).toEqual([]);
    } finally {
      await site.close();
    }
  });
}

for (const program of ALL ? PROGRAMS.Chromium : PROGRAMS.Firefox) {
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
