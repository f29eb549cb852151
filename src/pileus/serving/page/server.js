// The API as the page uses it: the same that everyone uses.

import { forSession } from "./memory.js";

const PATIENCE_MS = 20_000;
const GLANCE_MS = 5_000;
const WORDS = {
  401: "This server asks for a key.",
  429: "The server is busy; try again in a moment.",
  503: "The server is not ready yet; try again in a moment.",
  504: "The server could not answer in time; try again.",
};

// The server answered that it will not: `status` of HTTP, and what a person may read.
export class Refused extends Error {
  constructor(status, detail) {
    super(WORDS[status] ?? detail.charAt(0).toUpperCase() + detail.slice(1));
    this.status = status;
  }
}

// Nobody answered.
export class Away extends Error {
  constructor(isLate) {
    super(isLate ? "The server took too long; try again." : "The server cannot be reached. Is it still running?");
  }
}

export const key = {
  get: () => forSession.get("key"),
  set: (value) => forSession.set("key", value),
};

// A response, whatever its status. Raises Away, or the AbortError of `signal`.
export async function ask(path, { signal, patience_ms = PATIENCE_MS, ...options } = {}) {
  const headers = { ...options.headers, ...(key.get() ? { Authorization: `Bearer ${key.get()}` } : {}) };
  const signals = [AbortSignal.timeout(patience_ms), ...(signal ? [signal] : [])];
  try {
    return await fetch(path, { ...options, headers, signal: AbortSignal.any(signals), cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Away(error.name === "TimeoutError");
  }
}

// The prediction, and the milliseconds that the server says it took (null where it does not).
export async function predict({ strokes, blob }, signal) {
  const request = blob
    ? { body: blob, headers: { "Content-Type": blob.type } }
    : { body: JSON.stringify({ strokes }), headers: { "Content-Type": "application/json" } };
  const response = await ask("/v1/predict", { method: "POST", signal, ...request });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok || !answer.items) throw new Refused(response.status, reason(answer));
  return { ...answer, serverMs: total(response.headers.get("Server-Timing")) };
}

// Raises Refused, Away.
export async function correct(requestId, item, label) {
  const response = await ask("/v1/feedback", {
    method: "POST",
    body: JSON.stringify({ request_id: requestId, item, label }),
    headers: { "Content-Type": "application/json" },
  });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Refused(response.status, reason(problem));
  }
}

// ready, starting, draining, waiting or away.
export async function readiness() {
  try {
    const response = await ask("/readyz", { patience_ms: GLANCE_MS });
    if (response.ok) return "ready";
    const { detail = "" } = await response.json().catch(() => ({}));
    return ["starting", "draining"].find((state) => detail.includes(state)) ?? "waiting";
  } catch {
    return "away";
  }
}

// What /v1/models says of the model in production. Raises Refused, Away.
export async function productionModel() {
  const response = await ask("/v1/models");
  if (!response.ok) throw new Refused(response.status, "the server does not tell its model.");
  const { models } = await response.json();
  return models.find(({ role }) => role === "production") ?? models[0];
}

const reason = ({ detail }) => String(detail ?? "what came back is no answer.");

function total(timing) {
  const found = timing?.match(/(?:^|,)\s*total\b[^,]*;\s*dur=([\d.]+)/);
  return found ? Number(found[1]) : null;
}
