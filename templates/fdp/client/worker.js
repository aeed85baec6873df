// The service worker of the forms page: the page and its files open without a connection, in the state in which they were
// seen last. With one, everything comes from the server.

const CACHE = "forms-{{ version }}";
const PAGE = "{{ page }}";
const FILES = {{ assets|safe }};
const PATIENCE_MS = 5000;

self.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => self.skipWaiting()));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES);
  // The page itself: whoever opens it next may have no connection.
  await answer(new Request(PAGE, { credentials: "same-origin" }), cache, PAGE).catch(() => {});
}

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith("forms-") && name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate" && url.pathname === PAGE) event.respondWith(fromServer(event, PAGE));
  else if (FILES.includes(url.pathname)) event.respondWith(fromServer(event, url.pathname));
});

/** The server's answer, or what is kept where there is none or it takes too long. */
async function fromServer(event, key) {
  const cache = await caches.open(CACHE);
  const fresh = answer(event.request, cache, key);
  event.waitUntil(fresh.catch(() => {}));
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  const first = await Promise.race([fresh.catch(() => undefined), late]);
  return first ?? (await cache.match(key)) ?? fresh;
}

async function answer(request, cache, key) {
  const response = await fetch(request);
  // Not the sign-in page that one is sent on to.
  if (response.ok && !response.redirected && response.type === "basic") await cache.put(key, response.clone());
  return response;
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const place = event.notification.data;
  event.waitUntil(
    self.clients.matchAll({ type: "window" }).then(async (windows) => {
      const open = windows.find((one) => new URL(one.url).pathname === PAGE);
      if (!open) return self.clients.openWindow(`${PAGE}${place}`);
      await open.focus();
      return open.postMessage({ place });
    }),
  );
});
