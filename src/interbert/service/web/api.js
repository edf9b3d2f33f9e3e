// Requests to the service: relative paths, the key, errors of one shape, waiting where it is busy or away.

import { t } from "./i18n.js";
import { askForKey } from "./key_dialog.js";
import { watched } from "./network.js";
import { keep, recall } from "./session.js";

const REPEATABLE = /^v1\/(search|explain|topics\/preview)$/;
const MOST_TRIES = 4;
const LONGEST_WAIT = 30;
let served = null;

/** What the service, or the way to it, answered instead of a result. */
export class ApiError extends Error {
  constructor(status, { code, message, where }, retryAfter = null) {
    super(message);
    Object.assign(this, { status, code, where: where ?? null, retryAfter });
  }
}

/**
 * A request and its JSON answer; null where the answer has no body. What only reads is sent again by itself while
 * nothing answers; what was refused as too much (429) is sent again after `Retry-After`.
 *
 * @param method such as "GET".
 * @param path relative: "v1/search".
 * @param body an object (sent as JSON), FormData, or `{raw, type}`.
 * @param options `headers`; `signal` of an AbortController; `quiet`: fail at once, show and ask nothing;
 *   `keepalive` and `priority` as of fetch.
 * @throws ApiError
 */
export async function api(method, path, body, options = {}) {
  const response = await request(method, path, body, options);
  const text = await response.text();
  options.signal?.throwIfAborted(); // the answer may have come just before nobody needed it any more
  return text ? JSON.parse(text) : null;
}

/** A file, such as a product's image; fails at once where there is none. */
export async function apiBlob(path, signal) {
  const response = await request("GET", path, undefined, { quiet: true, priority: "low", signal });
  return response.blob();
}

/** A request and the answer itself, whose headers (ETag, Location) some pages need; as `api`. */
export async function request(method, path, body, options = {}) {
  const repeatable = method === "GET" || REPEATABLE.test(path.split("?")[0]);
  const attempt = { controller: null, wake: null };
  const again = () => (attempt.wake ? attempt.wake() : attempt.controller?.abort("again"));
  const state = options.quiet ? null : watched(repeatable ? again : null);
  try {
    return await persist(method, path, body, options, { repeatable, attempt, state });
  } finally {
    state?.ended();
  }
}

/** The indexes that the key may use, asked for once. */
export async function indexes() {
  served ??= api("GET", "v1/indexes").then((reply) => {
    if (!reply.indexes.some((one) => one.name === chosenIndex())) keep("index", null); // it is not served any more
    return reply.indexes;
  });
  try {
    return await served;
  } catch (error) {
    served = null;
    throw error;
  }
}

/** Name of the chosen index, undefined before one is chosen: the service then takes the first. */
export function chosenIndex() {
  return recall("index") ?? undefined;
}

/** Columns of the chosen index, each `{name, kind, unit}`. */
export async function chosenColumns() {
  const all = await indexes();
  return (all.find((one) => one.name === chosenIndex()) ?? all[0])?.columns ?? [];
}

/** Use another index. */
export function chooseIndex(name) {
  keep("index", name);
}

async function persist(method, path, body, options, { repeatable, attempt, state }) {
  for (let tries = 1, refused = 0; ; tries++) {
    state?.sent();
    const key = recall("key");
    const response = await sent(method, path, body, { ...options, key }, attempt);
    if (response === "again") continue;
    const away = response === null || [502, 504].includes(response.status);
    if (response?.ok) return response;
    if (away) {
      if (options.quiet || !repeatable) throw unreachable(response?.status ?? 0);
      state.away();
      await pause(Math.min(2 ** tries, LONGEST_WAIT), attempt, options.signal);
      continue;
    }
    const error = await errorOf(response);
    if (options.quiet) throw error;
    if (error.status === 401 && (key !== recall("key") || (await askForKey(key !== null)))) continue;
    if (error.status !== 429 || ++refused === MOST_TRIES || error.retryAfter > LONGEST_WAIT) throw error;
    state.busy(error.retryAfter);
    await pause(error.retryAfter, attempt, options.signal);
  }
}

/** The answer; null where nothing answers, "again" where the request was given up to be sent again. */
async function sent(method, path, body, { headers = {}, key, signal, keepalive = false, priority = "auto" }, attempt) {
  const controller = new AbortController();
  const leave = () => controller.abort(signal.reason);
  signal?.addEventListener("abort", leave);
  attempt.controller = controller;
  const sending = { ...headers, ...(key === null ? {} : { "X-API-Key": key }) };
  let content = body;
  if (body !== undefined && !(body instanceof FormData)) {
    sending["Content-Type"] = body.type && "raw" in body ? body.type : "application/json";
    content = "raw" in body ? body.raw : JSON.stringify(body);
  }
  try {
    signal?.throwIfAborted();
    const settings = { method, headers: sending, body: content, keepalive, priority };
    return await fetch(path, { ...settings, signal: controller.signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    return controller.signal.reason === "again" ? "again" : null;
  } finally {
    signal?.removeEventListener("abort", leave);
  }
}

/** Wait, but no longer than until somebody asks to try again, the connection is back, or nobody needs it any more. */
function pause(seconds, attempt, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      attempt.wake = null;
      window.removeEventListener("online", end);
      signal?.removeEventListener("abort", end);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(end, 1000 * seconds);
    attempt.wake = end;
    window.addEventListener("online", end);
    signal?.addEventListener("abort", end);
  });
}

function unreachable(status) {
  return new ApiError(status, { code: "unreachable", message: t(navigator.onLine ? "network.away" : "network.offline") });
}

async function errorOf(response) {
  const after = Number(response.headers.get("Retry-After") ?? 1);
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // something between page and service answered
  }
  const unknown = { code: "unknown", message: t("error.unknown", { status: response.status }) };
  return new ApiError(response.status, error?.code ? error : unknown, Number.isFinite(after) ? after : 1);
}
