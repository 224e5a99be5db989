import { expect } from "vitest";
import { begin, numbers, pauseAt, undisturbed } from "./small";
import { story } from "./story";

story("a page that the browser freezes goes on when it is back", async ({ site, open }) => {
  const whole = await undisturbed(site.url, open);
  const browser = await open();
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await begin(tab);
  await pauseAt(tab, 6);
  await tab.page.click("#pause");
  const session = await tab.page.context().newCDPSession(tab.page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  await new Promise((later) => setTimeout(later, 2000));
  await session.send("Page.setWebLifecycleState", { state: "active" });
  await tab.state("done");
  expect(await numbers(tab)).toEqual(whole);
});

story("a frozen page that the browser discards resumes from its checkpoint", async ({ site, open }) => {
  const whole = await undisturbed(site.url, open);
  const browser = await open();
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await begin(tab);
  await pauseAt(tab, 6);
  const session = await tab.page.context().newCDPSession(tab.page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  await tab.page.close();
  const again = await browser.tab(site.url);
  await again.state("ready");
  await again.page.locator(".notice", { hasText: "saved after step 4" }).getByText("Resume").click();
  await again.state("done");
  expect(await numbers(again)).toEqual(whole);
});
