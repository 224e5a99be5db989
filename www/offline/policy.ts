// The page's policy forbids inline scripts, but for one: that of the frame in which a person's reward runs, by its hash.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const SCRIPT = "src/reward/frame.js";

/** The name by which index.html and the frame's own policy have it. */
const NAME = "__REWARD_FRAME__";

/** As a policy has it, but for the quotes. */
export function hashOf(script: string): string {
  return `sha256-${createHash("sha256").update(script).digest("base64")}`;
}

export function rewardFrame(): Plugin {
  const hash = hashOf(readFileSync(SCRIPT, "utf8"));
  return {
    name: "tbrm-reward-frame",
    config: () => ({ define: { [NAME]: JSON.stringify(hash) } }),
    transformIndexHtml: (html) => html.replace(NAME, hash),
  };
}
