// A product: its image, its columns, and products that look like it.

import { api, chosenColumns, chosenIndex } from "./api.js";
import { card, moveByArrows } from "./card.js";
import { h, replace } from "./dom.js";
import { tellingColumns } from "./facets.js";
import { productImage } from "./images.js";
import { columnLabel, isPrice, isTitle, titleOf, valueLabel } from "./labels.js";
import { lastResults } from "./shop.js";

const SIMILAR = 12;

/** Show the page of "#/product/ID". */
export async function mount(root, app) {
  const id = app.route.rest.join("/");
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const path = `v1/products/${encodeURIComponent(id)}`;
  const within = new URLSearchParams(chosenIndex() ? { index: chosenIndex() } : {});
  const [product, columns] = await Promise.all([api("GET", `${path}?${within}`, undefined, options), chosenColumns()]);
  const title = titleOf(product, columns);
  document.title = `${title} · InterBERT`;
  const similar = h("section", { class: "similar", "aria-labelledby": "similar-title" },
    h("h2", { id: "similar-title" }, app.t("product.similar")), h("div", { class: "grid", "aria-busy": "true" }));
  replace(root, h("p", { class: "back" }, h("a", { href: lastResults() }, app.t(lastResults() === "#/" ? "product.shop" : "product.back"))), details(product, columns, title, app), similar);
  within.set("top_k", SIMILAR);
  drawSimilar(similar, api("GET", `${path}/similar?${within}`, undefined, options), columns, app, controller.signal);
  return () => controller.abort();
}

function details(product, columns, title, app) {
  const price = columns.find((column) => isPrice(column) && product.metadata[column.name] !== null);
  const others = product.texts.filter((text) => text !== title);
  const rows = columns
    .filter((column) => column !== price && !isTitle(column))
    .map((column) => [columnLabel(column.name), valueLabel(product.metadata[column.name], column)])
    .filter(([, value]) => value);
  const like = `#/?like=${encodeURIComponent(product.product_id)}`;
  return h("article", { class: "product-details" }, gallery(product, title, app),
    h("div", null, h("h1", null, title),
      price && h("p", { class: "price" }, valueLabel(product.metadata[price.name], price)),
      others.map((text) => h("p", { class: "quiet" }, text)),
      h("dl", null, rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
      h("p", null, h("a", { class: "button", href: like }, app.t("product.search_like"))),
      h("p", { class: "quiet" }, app.t("product.id", { id: product.product_id }))));
}

function gallery(product, title, app) {
  const big = h("div", { class: "tile big" }, productImage(product.product_id, title, product.images[0]?.image_id));
  const show = (one) => replace(big, productImage(product.product_id, title, one.image_id));
  const button = (one, place) => h("button", { type: "button", class: "tile small", onclick: () => show(one),
    "aria-label": app.t("product.image", { number: place + 1 }) }, productImage(product.product_id, "", one.image_id));
  return h("div", { class: "gallery" }, big,
    product.images.length > 1 && h("div", { class: "small-images" }, product.images.map(button)));
}

async function drawSimilar(section, asked, columns, app, signal) {
  const grid = section.querySelector(".grid");
  try {
    const { results } = await asked;
    const telling = tellingColumns(columns, countsOf(results, columns));
    replace(grid, results.map((result) => card(result, { columns, telling })));
    moveByArrows(grid, () => document.querySelector(".back a").focus());
    if (!results.length) replace(section);
  } catch (error) {
    if (!signal.aborted) section.append(h("p", { class: "warning", role: "alert" }, app.t("product.no_similar"), " ", error.message));
  }
  grid.removeAttribute("aria-busy");
}

/** Values of columns among results, counted as facets are. */
function countsOf(results, columns) {
  const counts = {};
  for (const { name } of columns) {
    const found = new Map();
    for (const { metadata } of results) found.set(metadata[name], (found.get(metadata[name]) ?? 0) + 1);
    counts[name] = [...found].map(([value, count]) => ({ value, count }));
  }
  return counts;
}
