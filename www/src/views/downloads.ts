// A run's files, to be taken elsewhere: one by one, or as an archive.

import type { App } from "../app";
import { fill, h } from "../element";
import { bytes } from "../format";
import type { RunInfo, StoredFile } from "../protocol";
import { fileName, save } from "../save";

export function downloads(app: App, { id, name }: RunInfo): HTMLElement {
  const into = h("div", { class: "files" });
  const details = h("details", {}, h("summary", { text: "Download" }), into);

  async function attempt(act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      app.fault(error);
    }
  }

  function archive(text: string, folder: string, suffix: string): HTMLElement {
    const said = h("span", { class: "muted", role: "status" });
    const make = async () => {
      said.textContent = " Packing …";
      try {
        save(await app.client.request("archive", { run: id, folder }), `${fileName(name)}${suffix}.zip`);
      } finally {
        said.textContent = "";
      }
    };
    return h("span", {}, h("button", { type: "button", text, onclick: () => void attempt(make) }), said);
  }

  function single({ path, bytes: size }: StoredFile): HTMLElement {
    const get = async () => {
      save(await app.client.request("file", { run: id, path }), path.slice(path.lastIndexOf("/") + 1));
    };
    return h(
      "li",
      {},
      h("button", { type: "button", class: "link", text: path, onclick: () => void attempt(get) }),
      size > 0 && h("small", { text: ` ${bytes(size)}` }),
    );
  }

  async function list(): Promise<void> {
    fill(into, "Listing …");
    const files = await app.client.request("files", { run: id });
    const hasModel = files.some(({ path }) => path.startsWith("model/"));
    fill(
      into,
      h(
        "div",
        { class: "actions" },
        archive("The whole run (.zip)", "", ""),
        hasModel && archive("The model, a Hugging Face folder (.zip)", "model", "-model"),
      ),
      h("ul", {}, ...files.map(single)),
    );
  }

  details.addEventListener("toggle", () => {
    if (details.open) void attempt(list);
  });
  return details;
}
