// The stories in real browsers, two at a time: each spends half of its time with one processor busy, on compiling shaders.

import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Those that take minutes begin first, so that none of them is left to run by itself at the end. */
const LONGEST = ["demo", "online", "runs", "recovery", "lab"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return at < 0 ? LONGEST.length : at;
    };
    return [...files].sort((one, other) => place(one) - place(other));
  }
}

export default defineConfig({
  test: {
    include: ["tests/stories/**/*.test.ts"],
    maxWorkers: 2,
    maxConcurrency: 2,
    sequence: { sequencer: LongestFirst },
    // A limit for what hangs: a busy machine without a GPU may take its time.
    testTimeout: 1_800_000,
    hookTimeout: 60_000,
    reporters: ["verbose"],
  },
});
