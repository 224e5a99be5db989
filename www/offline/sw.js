// Keeps the page working without a network. The build fills in the two constants (offline/plugin.ts).
const VERSION = "__VERSION__";
const FILES = __FILES__;

const CACHE = `tbrm-${VERSION}`;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
});

// Runs once no page of the version before is open, so that none loses files that it has yet to load.
self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("tbrm-") && name !== CACHE;
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(request.mode === "navigate" ? page(request) : file(request));
});

// The network first: a page that is online is never an old one.
async function page(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await (await caches.open(CACHE)).match("./");
    if (kept) return kept;
    throw error;
  }
}

// The cache first: names of built files carry a hash of what is in them.
async function file(request) {
  const kept = await (await caches.open(CACHE)).match(request);
  return kept ?? fetch(request);
}
