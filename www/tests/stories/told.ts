import { expect } from "vitest";
import type { Tab } from "./chromium";

/** Waits for the message of a fault of this kind, and returns it. */
export async function told(tab: Tab, kind: string): Promise<string> {
  const dialog = tab.page.locator(`#fault[open]`);
  await dialog.waitFor();
  const [found, text] = [await dialog.getAttribute("data-kind"), await dialog.textContent()];
  expect(`${found}: ${text}`).toMatch(new RegExp(`^${kind}: `));
  expect(await tab.page.evaluate(() => document.body.dataset.state)).toBe("error");
  return text ?? "";
}
