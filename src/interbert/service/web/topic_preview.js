// The page that a topic would have, while it is edited: what is on it with its probability, and what just misses it.

import { h, replace, svg } from "./dom.js";
import { address, badge, button, number, percent, problem, thumbnail } from "./parts.js";

const PAUSE_MS = 250;
const BEYOND = 12;
const MOST = 200;

/** The preview; `node` to show, `end()` when it is left. */
export function topicPreview(app, draft, fields) {
  const { t } = app;
  const body = h("div", { class: "preview-body" }, h("p", { class: "empty quiet loading" }, t("preview.making")));
  const count = h("p", { class: "quiet", role: "status" });
  const node = h("section", { class: "preview", "aria-label": t("preview.title") }, h("div", { class: "preview-head" }, h("h2", null, t("preview.title")), count), body);
  let timer = null;
  let running = null;

  const soon = () => {
    running?.abort(); // its page is of what was, not of what is
    clearTimeout(timer);
    timer = setTimeout(make, PAUSE_MS);
  };

  async function make() {
    running?.abort();
    const { signal } = (running = new AbortController());
    const asked = { ...draft.body(), published: true };
    if (!asked.texts.length) return replace(body, h("p", { class: "empty quiet" }, t("preview.no_text"))), (count.textContent = "");
    node.setAttribute("aria-busy", "true");
    try {
      const page = await preview(app, asked, signal);
      show(asked, page, []);
      const beyond = { ...asked, min_probability: 0, top_k: Math.min(asked.top_k + BEYOND, MOST) };
      if (judged(page)) show(asked, page, missed(page, await preview(app, beyond, signal)));
    } catch (error) {
      if (signal.aborted) return;
      const told = fields.fail(error);
      count.textContent = told ? t("preview.see_field") : "";
      if (!told) replace(body, problem(app, error, make));
    } finally {
      if (!signal.aborted) node.removeAttribute("aria-busy");
    }
  }

  function show(asked, page, beyond) {
    fields.fail(null);
    if (page.items.length) fields.canJudge(judged(page));
    count.textContent = t("preview.count", { count: number(app, page.items.length), most: number(app, asked.top_k) });
    const kept = document.activeElement?.dataset?.act;
    replace(
      body,
      page.notes.map((note) => h("p", { class: "hint" }, note)),
      judged(page) && distribution(app, asked, page.items, beyond),
      page.items.length === 0 && h("p", { class: "empty quiet" }, t("preview.none")),
      h("ol", { class: "cards" }, page.items.map((item) => card(app, draft, item))),
      beyond.length > 0 && cut(app, asked, page),
      beyond.length > 0 && h("ol", { class: "cards missed" }, beyond.map((item) => card(app, draft, item))),
    );
    if (kept) body.querySelector(`[data-act="${CSS.escape(kept)}"]`)?.focus();
  }

  draft.onChange((names) => names.some((name) => !["valid_from", "valid_to", "published"].includes(name)) && soon());
  make();
  return { node, end: () => (clearTimeout(timer), running?.abort()) };
}

function preview(app, asked, signal) {
  return app.api("POST", address(app, "v1/topics/preview"), asked, { signal });
}

function judged(page) {
  return page.items.some((item) => item.probability !== null) || !page.items.length;
}

/** What a page without a threshold, and a little longer, would show besides. */
function missed(page, longer) {
  const shown = new Set(page.items.map((item) => item.product_id));
  const others = longer.items.filter((item) => !shown.has(item.product_id) && item.probability !== null);
  return others.sort((one, other) => other.probability - one.probability).slice(0, BEYOND);
}

/** Where the page ends, and why there. */
function cut(app, asked, page) {
  const full = page.items.length >= asked.top_k;
  const key = full ? "preview.full" : asked.min_probability === null ? "preview.cut_auto" : "preview.cut";
  const values = { threshold: percent(app, asked.min_probability ?? 0), most: number(app, asked.top_k) };
  return h("p", { class: "cut" }, h("span", null, app.t(key, values)));
}

/** Probabilities of what is on the page and of what misses it, on a line from 0 to 100 %, with the threshold. */
function distribution(app, asked, items, beyond) {
  const tick = (shown) => (item) => svg("rect", { class: shown ? "on" : "off", x: 1000 * item.probability - 3, y: shown ? 4 : 12, width: 6, height: 20, rx: 2 });
  const judgedItems = items.filter((item) => item.probability !== null);
  const limit = asked.min_probability !== null && svg("rect", { class: "limit", x: Math.min(1000 * asked.min_probability, 996), y: 0, width: 4, height: 36 });
  const words = app.t("preview.distribution", { shown: judgedItems.length, missed: beyond.length });
  return h(
    "figure",
    { class: "distribution" },
    svg("svg", { viewBox: "0 0 1000 36", preserveAspectRatio: "none", role: "img", "aria-label": words }, beyond.map(tick(false)), judgedItems.map(tick(true)), limit),
    h("figcaption", { class: "quiet" }, h("span", null, "0 %"), h("span", null, app.t("preview.probability")), h("span", null, "100 %")),
  );
}

function card(app, draft, item) {
  const { t } = app;
  const { pinned, hidden } = draft.values;
  const product = item.product_id;
  const place = pinned.indexOf(product);
  const act = (name, sign, work, disabled = false, pressed = undefined) =>
    button(sign, work, "compact", { "aria-label": t(`cards.${name}`, { product }), title: t(`cards.${name}`, { product }), disabled, "aria-pressed": pressed, dataset: { act: `${name} ${product}` } });
  const moves = place >= 0 && [act("up", "↑", () => draft.move(product, -1), place === 0), act("down", "↓", () => draft.move(product, 1), place === pinned.length - 1)];
  return h(
    "li",
    { class: `box product${place >= 0 ? " pinned" : ""}` },
    thumbnail(app, product, item.image_id),
    h(
      "div",
      { class: "product-text" },
      h("p", { class: "title" }, item.texts[0] ?? product),
      h("p", { class: "quiet row" }, h("span", { class: "id" }, product), place >= 0 && badge("good", t("cards.is_pinned", { place: place + 1 }))),
      item.probability !== null && bar(app, item.probability),
    ),
    h(
      "div",
      { class: "acts" },
      moves,
      act("pin", t(place >= 0 ? "cards.unpin_short" : "cards.pin_short"), () => draft.pin(product), false, String(place >= 0)),
      act("hide", t("cards.hide_short"), () => draft.hide(product), hidden.includes(product)),
    ),
  );
}

/** A probability as a bar and a number. */
function bar(app, probability) {
  return h(
    "p",
    { class: "probability" },
    h("meter", { min: 0, max: 1, value: probability, "aria-label": app.t("preview.probability") }),
    h("span", null, percent(app, probability, 1)),
  );
}
