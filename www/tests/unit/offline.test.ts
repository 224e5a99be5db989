import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { serviceWorker } from "../../offline/plugin";

const template = readFileSync("offline/sw.js", "utf8");
const files = (code: string) =>
  new Map([
    ["index.html", "<html>"],
    ["assets/main-1.js", code],
  ]);

test("the service worker keeps every file that the build made, and the page under its folder's name", () => {
  const source = serviceWorker(template, files("1"));
  expect(source).toContain('const FILES = ["./","assets/main-1.js"];');
});

test("another build is another version", () => {
  expect(serviceWorker(template, files("1"))).toBe(serviceWorker(template, files("1")));
  expect(serviceWorker(template, files("1"))).not.toBe(serviceWorker(template, files("2")));
});
