// What every story gets: the page on a server of its own, and browsers that are closed, and asked for what went wrong in
// them, at its end.

import { expect, test } from "vitest";
import { Browser, type Options } from "./chromium";
import { openSite, type Site } from "./site";

interface Props {
  site: Site;
  open: (options?: Options) => Promise<Browser>;
}

export const story = test.extend<Props>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads from it which fixtures this one needs
  site: async ({}, use) => {
    const site = await openSite();
    await use(site);
    await site.close();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  open: async ({}, use) => {
    const browsers: Browser[] = [];
    await use(async (options) => {
      const browser = await Browser.open(options);
      browsers.push(browser);
      return browser;
    });
    const problems = browsers.flatMap((browser) => browser.problems);
    await Promise.all(browsers.map((browser) => browser.close()));
    expect(problems).toEqual([]);
  },
});
