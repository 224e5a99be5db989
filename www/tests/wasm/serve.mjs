// Serves folders of files on a free port of this machine, each under a path of its own.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

/** `folders` maps a path's first part (`/wasm/`) to a folder; the longest that fits serves it. Resolves to the origin. */
export async function serve(folders) {
  const prefixes = Object.keys(folders).sort((a, b) => b.length - a.length);
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const prefix = prefixes.find((p) => path.startsWith(p));
    const name = path.endsWith("/") ? `${path}index.html` : path;
    try {
      if (prefix === undefined) throw new Error("no folder");
      const body = await readFile(join(folders[prefix], name.slice(prefix.length)));
      response.writeHead(200, { "Content-Type": TYPES[extname(name)] ?? "application/octet-stream" });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
