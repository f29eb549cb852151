// A reload while the server is down still gives the page, as it was last kept (offline/spare.js). The network always
// comes first, and only the page's own paths come from here.

const isOurs = ({ pathname }) => pathname === "/" || pathname.startsWith("/page/");

async function page(request) {
  const kept = () => caches.match(request, { ignoreSearch: true });
  try {
    const response = await fetch(request);
    if (response.status >= 500) return (await kept()) ?? response;
    // Another server has this address now: leave it alone.
    if (!response.headers.has("x-pileus-page")) await self.registration.unregister();
    return response;
  } catch (error) {
    const found = await kept();
    if (found) return found;
    throw error;
  }
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method === "GET" && url.origin === location.origin && isOurs(url)) event.respondWith(page(request));
});
