// A result as a card, and the grid of them.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { productImage } from "./images.js";
import { gradeOf, isPrice, titleOf, valueLabel } from "./labels.js";

const PROPERTIES = 2;

/**
 * A card of a result.
 *
 * @param options `columns` of the index; `telling`: columns to show; `reasons` of `explanation`; `open` is called when
 *   it is opened; `why`, null where nothing explains, shows more.
 */
export function card(result, { columns, telling = [], reasons = [], open, why = null }) {
  const title = titleOf(result, columns);
  const price = columns.filter(isPrice).map((column) => valueLabel(result.metadata[column.name], column)).find(Boolean);
  const properties = telling.slice(0, PROPERTIES).map((column) => valueLabel(result.metadata[column.name], column));
  const similar = `#/?like=${encodeURIComponent(result.product_id)}`;
  return h("article", { class: "card", dataset: { product: result.product_id } },
    h("div", { class: "tile" }, productImage(result.product_id, "", result.image_id)),
    h("div", { class: "card-text" },
      h("h3", null, h("a", { class: "open", href: `#/product/${encodeURIComponent(result.product_id)}`, onclick: open }, title)),
      price && h("p", { class: "price" }, price),
      h("p", { class: "quiet properties" }, properties.filter(Boolean).join(" · ")),
      match(result),
      reasons.map((reason) => h("p", { class: `reason ${reason.kind}` }, reason.text)),
      result.similar.length > 0 && h("p", { class: "quiet" }, t("card.same", { count: result.similar.length }))),
    h("div", { class: "card-actions" },
      h("a", { href: similar, "aria-label": t("card.similar_to", { title }) }, t("card.similar")),
      why && h("button", { type: "button", class: "link", onclick: why, "aria-label": t("card.why_this", { title }) }, t("card.why"))));
}

/** What a card shows while its result is on the way. */
export function placeholder() {
  return h("div", { class: "card empty-card", "aria-hidden": "true" }, h("div", { class: "tile" }), h("div", { class: "card-text" }, h("p")));
}

function match({ probability, estimated }) {
  if (probability === null) return null;
  const share = `${Math.round(100 * probability)}%`;
  const said = estimated ? t("card.estimated", { share }) : share;
  return h("p", { class: "match", title: said },
    h("span", { class: "meter", "aria-hidden": "true" }, h("span", { style: { width: share } })),
    gradeOf(probability), h("span", { class: "hidden" }, ` (${said})`));
}

/** Arrow keys move through the cards of a grid; `up` is called above its first row. */
export function moveByArrows(grid, up) {
  grid.addEventListener("keydown", (event) => {
    const links = [...grid.querySelectorAll("a.open")];
    const place = links.indexOf(event.target);
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (place < 0 || step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (place + step < 0 && event.key === "ArrowUp") up();
    else links[Math.min(links.length - 1, Math.max(0, place + step))].focus();
  });
}
