// Runs as folders of the browser's private file system (OPFS).

import { storageFull } from "../errors";
import type { Fault, StoredFile } from "../protocol";
import type { Store } from "./engine";

const PARTIAL = ".partial";
const TRIES = 10;

/** The names in a path; refuses what would leave the folder. */
export function namesOf(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw fault(`${path}: leads out of its folder`, "give files of one folder");
  return names;
}

/** A run's files, to look at. */
export interface RunFiles {
  file(path: string): Promise<Blob | undefined>;
  look<T>(path: string, use: (file: Blob) => Promise<T>): Promise<T | undefined>;
  list(dir: string): Promise<string[]>;
  walk(dir?: string): Promise<StoredFile[]>;
}

export class OpfsStore implements Store, RunFiles {
  /** Why the last call failed: the engine passes on that it did, not always why. */
  failure: Fault | undefined;
  /** A file that is being appended to stays open: opening one costs more than a line. */
  private readonly open = new Map<string, FileSystemSyncAccessHandle>();

  constructor(
    private readonly folder: FileSystemDirectoryHandle,
    private readonly name: string,
  ) {}

  read(path: string): Promise<Uint8Array | undefined> {
    const bytes = async (file: Blob) => new Uint8Array(await file.arrayBuffer());
    return this.attempt("read", path, () => this.look(path, bytes));
  }

  /** What `use` makes of a file. One that grows meanwhile, in this tab or another, is looked at once more. */
  async look<T>(path: string, use: (file: Blob) => Promise<T>): Promise<T | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        const file = await this.file(path);
        return file && (await use(file));
      } catch (error) {
        const grew = error instanceof DOMException && error.name === "NotReadableError";
        if (!grew || tries === TRIES) throw error;
      }
    }
  }

  /** A file as the browser knows it: not read yet, and not readable once it has changed. */
  async file(path: string): Promise<File | undefined> {
    this.open.get(path)?.flush();
    const at = await this.locate(path, false);
    return at && orMissing(at.folder.getFileHandle(at.name).then((handle) => handle.getFile()));
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    return this.attempt("write", path, async () => {
      this.close(path);
      // What was appended before must not be younger than what is written after it.
      for (const handle of this.open.values()) handle.flush();
      const at = await this.locate(path, true);
      const partial = `.${at.name}${PARTIAL}`;
      const handle = await at.folder.getFileHandle(partial, { create: true });
      await put(handle, bytes);
      await move(handle, at, partial);
    });
  }

  append(path: string, bytes: Uint8Array): Promise<void> {
    return this.attempt("write", path, async () => {
      const handle = this.open.get(path) ?? (await this.opened(path));
      if (!handle) return this.write(path, joined(await this.read(path), bytes));
      writeAll(handle, bytes, handle.getSize());
    });
  }

  list(dir: string): Promise<string[]> {
    return this.attempt("list", dir, async () => {
      const folder = await this.directory(namesOf(dir), false);
      const names: string[] = [];
      if (folder) for await (const name of folder.keys()) if (!isPartial(name)) names.push(name);
      return names.sort();
    });
  }

  remove(path: string): Promise<void> {
    return this.attempt("remove", path, async () => {
      for (const name of this.open.keys()) {
        if (name === path || name.startsWith(`${path}/`)) this.close(name);
      }
      const at = await this.locate(path, false);
      if (at) await orMissing(at.folder.removeEntry(at.name, { recursive: true }));
    });
  }

  /** Every file below `dir`, with paths from the run's folder. */
  async walk(dir = ""): Promise<StoredFile[]> {
    const folder = await this.directory(namesOf(dir), false);
    if (!folder) return [];
    const found: StoredFile[] = [];
    for await (const [name, handle] of folder.entries()) {
      const path = dir ? `${dir}/${name}` : name;
      if (handle.kind === "directory") found.push(...(await this.walk(path)));
      else if (!isPartial(name)) {
        const file = await orMissing((handle as FileSystemFileHandle).getFile());
        if (file) found.push({ path, bytes: file.size });
      }
    }
    return found.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** Lets go of open files. */
  end(): void {
    for (const path of [...this.open.keys()]) this.close(path);
  }

  private close(path: string): void {
    const handle = this.open.get(path);
    handle?.flush();
    handle?.close();
    this.open.delete(path);
  }

  private async opened(path: string): Promise<FileSystemSyncAccessHandle | undefined> {
    const at = await this.locate(path, true);
    const file = await at.folder.getFileHandle(at.name, { create: true });
    if (!("createSyncAccessHandle" in file)) return undefined;
    const handle = await file.createSyncAccessHandle();
    this.open.set(path, handle);
    return handle;
  }

  private async directory(names: string[], create: true): Promise<FileSystemDirectoryHandle>;
  private async directory(names: string[], create: boolean): Promise<FileSystemDirectoryHandle | undefined>;
  private async directory(names: string[], create: boolean) {
    let folder: FileSystemDirectoryHandle | undefined = this.folder;
    for (const name of names) {
      const next: Promise<FileSystemDirectoryHandle> = folder.getDirectoryHandle(name, { create });
      folder = create ? await next : await orMissing(next);
      if (!folder) return undefined;
    }
    return folder;
  }

  private async locate(path: string, create: true): Promise<Place>;
  private async locate(path: string, create: boolean): Promise<Place | undefined>;
  private async locate(path: string, create: boolean) {
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) throw fault(`"${path}" is not the name of a file`, "give files of one folder");
    const folder = await this.directory(names, create);
    return folder && { folder, name };
  }

  private async attempt<T>(verb: string, path: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      this.failure = storeFault(error, verb, `${this.name}/${path}`);
      throw this.failure;
    }
  }
}

interface Place {
  folder: FileSystemDirectoryHandle;
  name: string;
}

const isPartial = (name: string) => name.startsWith(".") && name.endsWith(PARTIAL);

/** What a promise gives, or nothing where its file or folder is missing. */
async function orMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotFoundError") return undefined;
    throw error;
  }
}

async function put(file: FileSystemFileHandle, bytes: Uint8Array): Promise<void> {
  if (!("createSyncAccessHandle" in file)) {
    const stream = await (file as FileSystemFileHandle).createWritable();
    await stream.write(bytes as Uint8Array<ArrayBuffer>);
    return stream.close();
  }
  const handle = await file.createSyncAccessHandle();
  try {
    handle.truncate(0);
    writeAll(handle, bytes, 0);
    handle.flush();
  } finally {
    handle.close();
  }
}

function writeAll(handle: FileSystemSyncAccessHandle, bytes: Uint8Array, at: number): void {
  // A full disk can show as a write that took fewer bytes than it was given, without an error.
  const written = handle.write(bytes as Uint8Array<ArrayBuffer>, { at });
  if (written !== bytes.byteLength) throw storageFull();
}

/** Puts a file in place under its own name; browsers without `move` write it there once more. */
async function move(from: FileSystemFileHandle, to: Place, partial: string): Promise<void> {
  const movable = from as FileSystemFileHandle & { move?(name: string): Promise<void> };
  if (movable.move) return movable.move(to.name);
  const bytes = new Uint8Array(await (await from.getFile()).arrayBuffer());
  await put(await to.folder.getFileHandle(to.name, { create: true }), bytes);
  await to.folder.removeEntry(partial);
}

function joined(head: Uint8Array | undefined, tail: Uint8Array): Uint8Array {
  const all = new Uint8Array((head?.length ?? 0) + tail.length);
  if (head) all.set(head);
  all.set(tail, head?.length ?? 0);
  return all;
}

function storeFault(error: unknown, verb: string, place: string): Fault {
  if ((error as Partial<Fault>)?.kind === "store") return error as Fault;
  const { name = "", message = String(error) } = error as Partial<DOMException>;
  if (name === "QuotaExceededError") return storageFull();
  if (name === "NoModificationAllowedError") {
    return fault(`${place}: another tab has this file open`, "close the other tab, then try again");
  }
  return fault(
    `cannot ${verb} ${place}: ${message}`,
    "reload the page; if the run is gone, the browser has evicted it: download what you want to keep",
  );
}

function fault(what: string, help: string): Fault {
  return { kind: "store", what, help };
}
