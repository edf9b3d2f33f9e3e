// The shop: a search, in the address of the page; its results, kept for whoever comes back to them.

import { api, chosenIndex } from "./api.js";
import { moveByArrows } from "./card.js";
import { h, replace } from "./dom.js";
import { bodyOf, hashOf, hasParts, queryOf } from "./query.js";
import { ResultsView } from "./results.js";
import { searchBar } from "./searchbar.js";
import { clientId } from "./session.js";

const MOST_IMAGES = 8;
const images = new Map();
let kept = null;

/** Address of the last results, to go back to them. */
export function lastResults() {
  return kept?.hash ?? "#/";
}

/** Show the page. */
export async function mount(root, app) {
  const params = app.route.query;
  const query = queryOf(params, images.get(params.get("image")) ?? null);
  const bar = searchBar(query, changed, app.notice);
  const view = new ResultsView(app, query, { search: changed, more, again: run, left: remember });
  let controller = new AbortController();
  let replies = [];
  let known = {};
  let knownFor = "";

  /** The shopper changed the search: a new address, and its results. */
  function changed() {
    history.pushState(null, "", hashOf(query, numberOf(query.image)));
    bar.redraw();
    run();
  }

  async function run() {
    controller.abort();
    controller = new AbortController();
    root.classList.toggle("searching", hasParts(query));
    replies = [];
    if (!hasParts(query)) {
      view.clear();
      return;
    }
    view.wait();
    await shown(async (signal) => {
      const columns = await view.columns();
      const reply = await ask(columns, undefined, signal);
      const same = hashOf({ ...query, chosen: {}, ranges: {}, sort: "" }, numberOf(query.image));
      if (same !== knownFor) known = {};
      knownFor = same;
      for (const [name, values] of Object.entries(reply.facets)) if (!query.chosen[name]) known[name] = values;
      replies = [reply];
      view.draw(reply, known);
      remember();
    });
  }

  async function more() {
    await shown(async (signal) => {
      const reply = await ask(await view.columns(), replies.at(-1).next_cursor, signal);
      replies.push(reply);
      view.add(reply);
      remember();
    });
  }

  function ask(columns, cursor, signal) {
    return api("POST", "v1/search", bodyOf(query, columns, chosenIndex(), clientId(), cursor), { signal });
  }

  /** Do what draws results, or show why it cannot be done. */
  async function shown(draw) {
    const { signal } = controller;
    try {
      await draw(signal);
    } catch (error) {
      if (signal.aborted) return;
      view.fail(error);
    }
  }

  function remember() {
    if (replies.length) kept = { hash: location.hash, index: chosenIndex(), replies, known, knownFor, scroll: window.scrollY };
  }

  function pressed(event) {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      bar.input.select();
    }
    if (event.key === "ArrowDown" && event.target === bar.input && view.focusFirst()) event.preventDefault();
  }

  root.classList.toggle("searching", hasParts(query));
  const mouse = matchMedia("(hover: hover)").matches;
  const hero = h("div", { class: "hero" }, h("h1", null, app.t("hero.title")), h("p", null, app.t("hero.text"), mouse && app.t("hero.drop")));
  replace(root, hero, bar.node, view.node);
  moveByArrows(view.grid, () => bar.input.focus());
  document.addEventListener("keydown", pressed);
  if (kept?.hash === location.hash && kept.index === chosenIndex()) {
    ({ replies, known, knownFor } = kept);
    await view.columns();
    view.draw(replies[0], known);
    replies.slice(1).forEach((reply) => view.add(reply));
    const { scroll } = kept;
    requestAnimationFrame(() => window.scrollTo(0, scroll));
  } else if (hasParts(query)) {
    run();
  } else if (mouse) {
    bar.input.focus({ preventScroll: true });
  }
  return () => {
    controller.abort();
    view.ended();
    bar.ended();
    document.removeEventListener("keydown", pressed);
  };
}

/** The number of an image in addresses; the last few are kept, so that the browser's "back" finds them. */
function numberOf(image) {
  if (!image) return "";
  for (const [number, one] of images) if (one === image) return number;
  const number = String(Date.now());
  images.set(number, image);
  if (images.size > MOST_IMAGES) images.delete(images.keys().next().value);
  return number;
}
