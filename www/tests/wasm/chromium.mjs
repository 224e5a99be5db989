// Debian's Chromium with WebGPU on its software driver, in a profile of its own.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--enable-unsafe-webgpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Opens `url`; `warned` gets the console's errors and warnings, where WebGPU puts what no handler hears. */
export async function open(url) {
  const profile = await mkdtemp(join(tmpdir(), "tbrm-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    chromiumSandbox: false,
    args: FLAGS,
  });
  const page = await context.newPage();
  const warned = [];
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) warned.push(message.text());
  });
  page.on("pageerror", (error) => warned.push(String(error)));
  await page.goto(url);
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { page, warned, close };
}
