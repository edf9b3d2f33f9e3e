// What the page knows of its connection: requests that take long, a service that is away or busy.

const SLOW_MS = 2000;
const running = new Map();
const listeners = new Set();
let number = 0;

/** Call a function with `{kind, seconds, again}` when the state changes; kind is "", "slow", "busy" or "away". */
export function onNetwork(listener) {
  listeners.add(listener);
}

/** Begin to watch a request; `again` sends it again, null where that might do something twice. */
export function watched(again) {
  const id = ++number;
  const state = { kind: "", seconds: 0, again };
  let timer = setTimeout(() => set("slow"), SLOW_MS);
  running.set(id, state);

  function set(kind, seconds = 0) {
    if (!running.has(id)) return;
    Object.assign(state, { kind, seconds });
    tell();
  }
  return {
    /** The service refused it for some seconds. */
    busy: (seconds) => set("busy", seconds),
    /** Nothing answers. */
    away: () => set("away"),
    /** It is sent once more. */
    sent() {
      clearTimeout(timer);
      timer = setTimeout(() => set("slow"), SLOW_MS);
    },
    ended() {
      clearTimeout(timer);
      running.delete(id);
      tell();
    },
  };
}

function tell() {
  const states = [...running.values()];
  const kind = ["away", "busy", "slow"].find((one) => states.some((state) => state.kind === one)) ?? "";
  const these = states.filter((state) => state.kind === kind && kind);
  const again = these.some((state) => state.again) ? () => these.forEach((state) => state.again?.()) : null;
  const seconds = Math.max(0, ...these.map((state) => state.seconds));
  for (const listener of listeners) listener({ kind, seconds, again });
}
