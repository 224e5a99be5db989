import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { offline } from "./offline/plugin.ts";
import { rewardFrame } from "./offline/policy.ts";

/** The development server puts styles into the page by script, which the page's policy forbids: there it has none. */
function policyOnlyInBuilds(): Plugin {
  return {
    name: "tbrm-policy",
    apply: "serve",
    transformIndexHtml: (html) => html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, ""),
  };
}

function wasmIsThere(): Plugin {
  return {
    name: "tbrm-wasm",
    buildStart() {
      if (!existsSync("src/wasm/tbrm.js")) {
        this.warn("src/wasm is missing, so the page cannot train: `make web` in the folder above builds it");
      }
    },
  };
}

/** `--mode fake` puts an engine in place that only pretends, for work on the page itself. */
const FAKE = {
  find: /^\.\/engine$/,
  replacement: fileURLToPath(new URL("tests/unit/worker/fake-engine.ts", import.meta.url)),
};

export default defineConfig(({ mode }) => ({
  // Works wherever its folder is put.
  base: "./",
  resolve: { alias: mode === "fake" ? [FAKE] : [] },
  plugins: [rewardFrame(), policyOnlyInBuilds(), wasmIsThere(), offline()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    outDir: mode === "fake" ? "dist-fake" : "dist",
    emptyOutDir: true,
  },
  worker: { format: "es" },
  test: { include: ["tests/unit/**/*.test.ts"] },
}));
