// The stories in real browsers: one after the other, since each of them keeps all processors busy.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/stories/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 1_500_000,
    hookTimeout: 60_000,
    reporters: ["verbose"],
  },
});
