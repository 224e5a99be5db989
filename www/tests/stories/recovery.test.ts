import { expect } from "vitest";
import { begin, numbers, pauseAt, stepOf, undisturbed } from "./small";
import { story } from "./story";
import { told } from "./told";

story(
  "a lost device is told, and its run goes on from the checkpoint to the same bits",
  async ({ site, open }) => {
    const whole = await undisturbed(site.url, open);
    const browser = await open();
    const tab = await browser.tab(site.url);
    await tab.state("ready");
    await begin(tab);
    await pauseAt(tab, 6);
    await tab.page.click("#pause");
    await tab.page.evaluate(() => window.tbrm?.request("destroy", {}));
    const text = await told(tab, "device");
    expect(text).toContain("The device was lost");
    await tab.picture("device-lost");
    await tab.page.click("text=Restart and go on");
    await tab.state("done");
    expect(await numbers(tab)).toEqual(whole);
  },
);

story("a worker that crashes is told, and its run goes on to the same bits", async ({ site, open }) => {
  const whole = await undisturbed(site.url, open);
  const browser = await open();
  browser.expect(/thrown by a story/);
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await begin(tab);
  await pauseAt(tab, 6);
  const [worker] = tab.page.workers();
  await worker?.evaluate(() => {
    setTimeout(() => {
      throw Error("thrown by a story");
    });
  });
  expect(await told(tab, "crash")).toContain("thrown by a story");
  await tab.page.click("text=Restart and go on");
  await tab.state("done");
  expect(await numbers(tab)).toEqual(whole);
});

story("a device that is out of memory is told, and trains what is smaller", async ({ site, open }) => {
  const tab = await (await open()).tab(site.url);
  await tab.state("ready");
  const [worker] = tab.page.workers();
  // Less memory than the limits promise: nothing but the driver knows it, and it says so like this.
  await worker?.evaluate((most) => {
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      if (descriptor.size > most) {
        const error = new GPUOutOfMemoryError("no memory is left");
        this.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
      }
      return create.call(this, descriptor);
    };
  }, 2 ** 21);
  await begin(tab, { preset: "tiny" });
  expect(await told(tab, "device")).toMatch(/out of memory.*use a smaller model/is);
  await tab.picture("out-of-memory");
  await tab.page.click("#fault >> text=Restart");
  await tab.state("ready");
  await begin(tab);
  await tab.state("done");
});

story("a full storage is told, and the run goes on once there is room", async ({ site, open }) => {
  const whole = await undisturbed(site.url, open);
  const browser = await open();
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await begin(tab);
  await pauseAt(tab, 6);
  const session = await tab.page.context().newCDPSession(tab.page);
  const { origin } = new URL(site.url);
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1000 });
  await tab.page.click("#pause");
  expect(await told(tab, "store")).toMatch(/storage is full.*then resume the run/s);
  await tab.picture("storage-full");
  expect(await stepOf(tab)).toBeGreaterThanOrEqual(8);
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  await tab.page.click("#fault >> text=Close");
  await tab.page.click('nav a[href="#runs"]');
  await tab.page.locator("li[data-run]").getByText("Resume").click();
  await tab.state("done");
  expect(await numbers(tab)).toEqual(whole);
});

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
