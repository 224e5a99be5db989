// The stories in real browsers: one after the other, since each of them keeps all processors busy.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/stories/**/*.test.ts"],
    fileParallelism: false,
    // What one file has found out need not be found out again by the next.
    isolate: false,
    // A limit for what hangs: a busy machine without a GPU may take its time.
    testTimeout: 1_800_000,
    hookTimeout: 60_000,
    reporters: ["verbose"],
  },
});
