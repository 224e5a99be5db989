// Firefox ESR with WebGPU on the system's Vulkan driver. Nothing looks into it: its pages report by POST to their site.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PREFERENCES = [
  "dom.webgpu.enabled",
  "dom.webgpu.workers.enabled",
  "gfx.webgpu.ignore-blocklist",
  "webgl.force-enabled",
  "gfx.webrender.all",
];

/** Opens `url` in a profile of its own; what it returns ends the browser. */
export function openFirefox(url: string): () => Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), "tbrm-firefox-"));
  writeFileSync(
    join(profile, "user.js"),
    PREFERENCES.map((name) => `user_pref(${JSON.stringify(name)}, true);\n`).join(""),
  );
  const firefox = spawn(
    process.env.FIREFOX ?? "firefox-esr",
    ["--headless", "--no-remote", "--profile", profile, url],
    { stdio: "ignore" },
  );
  const ended = new Promise<void>((end) => firefox.on("exit", () => end()).on("error", () => end()));
  return async () => {
    firefox.kill();
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
}
