// What lasts as long as the tab: the key, the chosen index, who searches. A browser that keeps nothing has it in memory.

const memory = new Map();

/** What was kept under a name, or null. */
export function recall(name) {
  try {
    return sessionStorage.getItem(`interbert.${name}`) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

/** Keep a text under a name; null forgets it. */
export function keep(name, value) {
  memory.set(name, value);
  try {
    if (value === null) sessionStorage.removeItem(`interbert.${name}`);
    else sessionStorage.setItem(`interbert.${name}`, value);
  } catch {
    // memory has it
  }
}

/** A random pseudonym of this tab, for events; everything of it can be erased by it. */
export function clientId() {
  let id = recall("client");
  if (id === null) {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    id = "web-" + Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
    keep("client", id);
  }
  return id;
}
