import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hashOf, rewardFrame } from "../../offline/policy";

test("the page's policy allows one inline script, and that is the reward frame's", () => {
  const plugin = rewardFrame() as unknown as { transformIndexHtml(html: string): string };
  const html = plugin.transformIndexHtml(readFileSync("index.html", "utf8"));
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? "";
  const directives = Object.fromEntries(
    policy.split(";").map((directive) => {
      const [name = "", ...sources] = directive.trim().split(" ");
      return [name, sources];
    }),
  );
  const hash = hashOf(readFileSync("src/reward/frame.js", "utf8"));
  expect(directives["script-src"]).toEqual(["'self'", "'wasm-unsafe-eval'", `'${hash}'`]);
  expect(directives["worker-src"]).toEqual(["'self'", "blob:"]);
  expect(directives["connect-src"]).toEqual(["'self'"]);
  expect(directives["frame-src"]).toEqual(["'none'"]);
  expect(hashOf("other")).not.toBe(hash);
});
