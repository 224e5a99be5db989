// The built page on this machine, below a folder as on many hosts, with a place to which a page can report by POST.

import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

export interface Site {
  /** Where the page is. */
  url: string;
  /** What pages reported, oldest first. */
  reports: string[];
  /** Files that are answered beside the built ones, by their path below the page. */
  extra: Map<string, string | Uint8Array>;
  /** The paths that were asked for. */
  asked: string[];
  close: () => Promise<void>;
}

const BASE = "/below/a/folder/";

/** What `tbrm serve` answers besides. */
const AS_SERVE = {
  "Content-Security-Policy": "frame-ancestors 'self'",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
};

export async function openSite(dist = "dist"): Promise<Site> {
  const site = {
    reports: [] as string[],
    extra: new Map<string, string | Uint8Array>(),
    asked: [] as string[],
  };
  const server = createServer((request, response) => {
    void answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
  });
  async function answer(request: IncomingMessage, response: ServerResponse) {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    if (request.method === "POST") {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      site.reports.push(Buffer.concat(parts).toString());
      response.writeHead(204).end();
      return;
    }
    // A URL has no `..` any more.
    const name = path.startsWith(BASE) ? path.slice(BASE.length) || "index.html" : undefined;
    site.asked.push(path);
    const body = name && (site.extra.get(name) ?? (await readFile(join(dist, name)).catch(() => undefined)));
    if (body === undefined) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(name ?? "")] ?? "application/octet-stream";
    response.writeHead(200, { "Content-Type": type, ...AS_SERVE }).end(body);
  }
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  return {
    ...site,
    url: `http://127.0.0.1:${port}${BASE}`,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}
