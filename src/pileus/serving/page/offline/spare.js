// The server's model and this page, kept in the browser for when the server is away.

import { forGood } from "../memory.js";
import { Model } from "./model.js";

const [, VERSION] = new URL(import.meta.url).pathname.match(/^\/page\/([^/]+)\//);
const PREFIX = "pileus-";

let model = null;

export const isReady = () => model !== null;

export function answer(strokes) {
  return { ...model.answer(strokes), isLocal: true };
}

// Fetches the model of that version by `ask`; without one nobody answers here. Kept past this page unless it is secret.
export async function fetchModel(version, ask, isSecret) {
  if (model?.description.version === version) return;
  model = null;
  const [description, graph] = await Promise.all(
    ["model.json", "model.onnx"].map((name) => kept(`/v1/bundles/${version}/${name}`, ask, isSecret)),
  );
  if (!description?.ok || !graph?.ok) return;
  try {
    model = new Model(await description.json(), new Uint8Array(await graph.arrayBuffer()));
    remember(version);
  } catch (error) {
    console.info(`No answers without the server: ${error.message}.`);
  }
}

// The model that was kept last, for a page that comes up without its server; what it says of itself.
export async function recallModel() {
  const version = forGood.get("spare");
  const nothing = () => Promise.resolve(null);
  if (version) await fetchModel(version, nothing, false);
  return model?.description;
}

// A worker gives the page again when the server does not; it needs what the page is made of.
export async function keepPage() {
  if (!window.isSecureContext || !navigator.serviceWorker) return;
  await navigator.serviceWorker.register("/worker.js", { scope: "/" });
  const cache = await caches.open(PREFIX + VERSION);
  const parts = performance.getEntriesByType("resource").map(({ name }) => new URL(name).pathname);
  await cache.addAll(["/", ...new Set(parts.filter((path) => path.startsWith(`/page/${VERSION}/`)))]);
  await forget((name) => name !== PREFIX + VERSION && name !== `${PREFIX}model`);
}

async function kept(path, ask, isSecret) {
  const cache = window.isSecureContext && !isSecret ? await caches.open(`${PREFIX}model`) : null;
  const found = await cache?.match(path);
  if (found) return found;
  const response = await ask(path).catch(() => null);
  if (response?.ok && cache) await cache.put(path, response.clone());
  return response;
}

async function remember(version) {
  forGood.set("spare", version);
  if (!window.isSecureContext) return;
  const cache = await caches.open(`${PREFIX}model`);
  for (const request of await cache.keys()) {
    if (!request.url.includes(`/v1/bundles/${version}/`)) await cache.delete(request);
  }
}

async function forget(isOld) {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && isOld(name)) await caches.delete(name);
}
