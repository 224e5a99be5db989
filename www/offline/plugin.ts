// Writes sw.js into the built page: what it keeps is what the build made.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vite";

/** Fills the service worker's template with `files` (relative to the page) and a version that changes with them. */
export function serviceWorker(template: string, files: Map<string, string | Uint8Array>): string {
  const hash = createHash("sha256");
  const names = [...files.keys()].sort();
  for (const name of names) hash.update(name).update(files.get(name) ?? "");
  const list = JSON.stringify(["./", ...names.filter((name) => name !== "index.html")]);
  return template.replace("__VERSION__", hash.digest("hex").slice(0, 16)).replace("__FILES__", () => list);
}

export function offline(): Plugin {
  return {
    name: "tbrm-offline",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const files = new Map<string, string | Uint8Array>();
        for (const [name, made] of Object.entries(bundle)) {
          files.set(name, made.type === "chunk" ? made.code : made.source);
        }
        for (const name of readdirSync("public")) files.set(name, readFileSync(`public/${name}`));
        const source = serviceWorker(readFileSync("offline/sw.js", "utf8"), files);
        this.emitFile({ type: "asset", fileName: "sw.js", source });
      },
    },
  };
}
