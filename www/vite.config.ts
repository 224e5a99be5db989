import { existsSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { offline } from "./offline/plugin";

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

export default defineConfig({
  // Works wherever its folder is put.
  base: "./",
  plugins: [policyOnlyInBuilds(), wasmIsThere(), offline()],
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  worker: { format: "es" },
  test: { include: ["tests/unit/**/*.test.ts"] },
});
