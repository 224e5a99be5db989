// Folders as one file, and back.

import { Unzip, UnzipInflate, Zip, ZipPassThrough } from "fflate";
import type { Fault, NamedFile } from "../protocol";
import type { RunFiles } from "./opfs";

/** A zip without its 64-bit extension ends here. */
const LIMIT = 2 ** 32 - 2 ** 20;
const PIECE = 4 * 2 ** 20;

/** The files of a run below `folder` (all of them: ""), as a zip. Weights do not compress: they are stored. */
export async function archive(store: RunFiles, folder: string): Promise<Blob> {
  const files = await store.walk(folder);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes > LIMIT) {
    throw {
      kind: "too-large",
      what: `${(bytes / 2 ** 30).toFixed(1)} GiB are too much for one archive`,
      help: "download the files one by one",
    } satisfies Fault;
  }
  const pieces: Blob[] = [];
  const zip = new Zip((error, piece) => {
    if (error) throw error;
    // A blob each, so that the browser may put them on disk.
    pieces.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
  });
  for (const { path } of files) {
    const file = await settled(store, path);
    if (!file) continue;
    const entry = new ZipPassThrough(folder ? path.slice(folder.length + 1) : path);
    zip.add(entry);
    for (let at = 0; at < file.size; at += PIECE) {
      entry.push(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
    }
    entry.push(new Uint8Array(0), true);
  }
  zip.end();
  return new Blob(pieces, { type: "application/zip" });
}

/** A file that does not change any more while it is read: of one that may grow, a copy. */
export async function settled(store: RunFiles, path: string): Promise<Blob | undefined> {
  if (!path.endsWith(".jsonl")) return store.file(path);
  const bytes = await store.look(path, (file) => file.arrayBuffer());
  return bytes && new Blob([bytes]);
}

/** The files in a zip. */
export async function unarchive(zip: Blob): Promise<NamedFile[]> {
  const files: NamedFile[] = [];
  let damage: Error | undefined;
  const unzip = new Unzip((entry) => {
    if (entry.name.endsWith("/")) return;
    const pieces: Blob[] = [];
    entry.ondata = (error, piece, last) => {
      damage ??= error ?? undefined;
      if (piece) pieces.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
      if (last) files.push({ path: entry.name, file: new Blob(pieces) });
    };
    entry.start();
  });
  unzip.register(UnzipInflate);
  try {
    for (let at = 0; at < zip.size && !damage; at += PIECE) {
      const piece = new Uint8Array(await zip.slice(at, at + PIECE).arrayBuffer());
      unzip.push(piece, at + PIECE >= zip.size);
    }
  } catch (error) {
    damage ??= error as Error;
  }
  if (damage || files.length === 0) {
    throw {
      kind: "data",
      what: `the archive could not be read: ${damage?.message ?? "there are no files in it"}`,
      help: "give a .zip of a run's folder, or the folder itself",
    } satisfies Fault;
  }
  return files;
}

/** Paths from the folder that holds `marker`, whatever folders lie around it; files beside it are left out. */
export function within(files: NamedFile[], marker: string): NamedFile[] {
  const roots = files
    .filter(({ path }) => path === marker || path.endsWith(`/${marker}`))
    .map(({ path }) => path.slice(0, path.length - marker.length))
    .sort((a, b) => a.length - b.length);
  const root = roots[0];
  if (root === undefined) return [];
  const inside = files.filter(({ path }) => path.startsWith(root));
  return inside.map(({ path, file }) => ({ path: path.slice(root.length), file }));
}
