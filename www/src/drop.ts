// A place to drop files and folders on, with buttons that do the same.

import { h } from "./element";
import type { NamedFile } from "./protocol";

/** What a person gives, `folder` says whether a button for folders is there too. */
export function dropZone(
  text: string,
  options: { folder?: boolean; multiple?: boolean; accept?: string },
  ongiven: (files: NamedFile[]) => void,
): HTMLElement {
  const pick = (folder: boolean) => {
    const input = h("input", {
      type: "file",
      multiple: folder || options.multiple === true,
      accept: folder ? undefined : options.accept,
    });
    input.webkitdirectory = folder;
    input.addEventListener("change", () => ongiven([...(input.files ?? [])].map(named)));
    input.click();
  };
  const id = `drop-${++zones}`;
  const button = (text: string, folder: boolean) =>
    h("button", { type: "button", text, "aria-describedby": id, onclick: () => pick(folder) });
  const zone = h(
    "div",
    { class: "drop" },
    h("span", { id, text }),
    button("Choose files", false),
    options.folder && button("Choose a folder", true),
  );
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    // Entries are gone after the first wait.
    const items = [...(event.dataTransfer?.items ?? [])];
    const entries = items.map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    ongiven((await Promise.all(entries.map((entry) => filesIn(entry)))).flat());
  });
  return zone;
}

let zones = 0;

/** Keeps a file that missed every zone from replacing the page. */
export function catchStrayDrops(): void {
  for (const type of ["dragover", "drop"] as const) addEventListener(type, (event) => event.preventDefault());
}

function named(file: File): NamedFile {
  return { path: file.webkitRelativePath || file.name, file };
}

async function filesIn(entry: FileSystemEntry): Promise<NamedFile[]> {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // A folder is read in parts.
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (part.length === 0) break;
    all.push(...part);
  }
  return (await Promise.all(all.map(filesIn))).flat();
}
