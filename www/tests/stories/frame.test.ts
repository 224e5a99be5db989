import { expect } from "vitest";
import { story } from "./story";

story("the page loads below any folder, and asks for nothing that is not there", async ({ site, open }) => {
  const browser = await open();
  const tab = await browser.tab(site.url);
  expect(await tab.page.title()).toBe("tbrm");
  await tab.picture("first");
});

story("what goes wrong in a tab fails its story", async ({ site, open }) => {
  site.extra.set("broken.js", `console.error("said by a worker"); throw Error("thrown by a worker")`);
  const browser = await open();
  const tab = await browser.tab(site.url);
  browser.expect(/expected/);
  await tab.page.evaluate(() => {
    console.error("this was expected");
    console.error("said by the page");
    console.warn("warned by the page");
    setTimeout(() => {
      throw Error("thrown by the page");
    });
    void Promise.reject(Error("rejected by the page"));
    document.head.append(Object.assign(document.createElement("script"), { textContent: "1" }));
    fetch("nothing.json");
    new Worker("broken.js", { type: "module" });
  });
  const all = [
    "said by the page",
    "warned by the page",
    "thrown by the page",
    "rejected by the page",
    "policy: script-src-elem forbids inline",
    "404",
    "said by a worker",
    "thrown by a worker",
  ];
  const noticed = (problem: string) => browser.problems.some((said) => said.includes(problem));
  await expect.poll(() => all.filter((problem) => !noticed(problem)), { timeout: 20_000 }).toEqual([]);
  expect(noticed("expected")).toBe(false);
  browser.problems.length = 0;
});
