// Tells the service what was seen and opened, so that clicks can teach the next model.

import { api } from "./api.js";
import { clientId } from "./session.js";

const GATHER_MS = 1000;
const MOST = 100;
let waiting = [];
let timer = null;

/** A result was opened. */
export function clicked(result, queryId) {
  waiting.push(event("click", result, queryId));
  send();
}

/** Watches cards and tells once of each that at least half of it was on screen; returns what ends the watch. */
export function viewWatch(queryIdOf) {
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        const { result, queryId } = queryIdOf(target);
        waiting.push(event("view", result, queryId));
        timer ??= setTimeout(send, GATHER_MS);
      }
    },
    { threshold: 0.5 },
  );
  return observer;
}

function event(kind, result, queryId) {
  return { kind, product_id: result.product_id, query_id: queryId, rank: result.rank, client_id: clientId() };
}

function send() {
  clearTimeout(timer);
  timer = null;
  while (waiting.length) {
    const some = waiting.splice(0, MOST);
    api("POST", "v1/events", some, { quiet: true, keepalive: true }).catch(() => {}); // a shopper need not know
  }
}

window.addEventListener("pagehide", send);
