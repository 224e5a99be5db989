// A run whose files a server has, as `tbrm serve --run` does: a folder answers with the names in it.

import type { StoredFile } from "../protocol";
import type { RunFiles } from "./opfs";

export class ServedRun implements RunFiles {
  /** `url` ends with a slash. */
  constructor(private readonly url: string) {}

  async file(path: string): Promise<Blob | undefined> {
    const response = await fetch(this.at(path), { cache: "no-cache" });
    return response.ok ? response.blob() : undefined;
  }

  async look<T>(path: string, use: (file: Blob) => Promise<T>): Promise<T | undefined> {
    const file = await this.file(path);
    return file && use(file);
  }

  async list(dir: string): Promise<string[]> {
    return (await this.names(dir)).map((name) => name.replace(/\/$/, ""));
  }

  /** A server does not say how large its files are: 0. */
  async walk(dir = ""): Promise<StoredFile[]> {
    const below = (await this.names(dir)).map(async (name): Promise<StoredFile[]> => {
      const path = dir ? `${dir}/${name}` : name;
      return name.endsWith("/") ? this.walk(path.slice(0, -1)) : [{ path, bytes: 0 }];
    });
    return (await Promise.all(below)).flat();
  }

  private async names(dir: string): Promise<string[]> {
    const response = await fetch(this.at(dir ? `${dir}/` : ""), { cache: "no-cache" });
    const names: unknown = response.ok ? await response.json() : [];
    return Array.isArray(names) ? names.map(String) : [];
  }

  private at(path: string): string {
    return this.url + path.split("/").map(encodeURIComponent).join("/");
  }
}
