// What of the text and of the image made the model say so: words and boxes that belong together.

import { api, chosenIndex } from "./api.js";
import { h, replace, svg } from "./dom.js";
import { language, t } from "./i18n.js";
import { productImage } from "./images.js";
import { gradeOf } from "./labels.js";

const SHOWN = 3;

/** Show what of the text and of the image made the model say so: that of `variant`, where an experiment answered. */
export async function showWhy(result, text, title, variant) {
  const body = h("div", { class: "why-body" }, h("p", { class: "quiet" }, t("why.asking")));
  const close = h("button", { type: "button", class: "plain close", "aria-label": t("close") }, "×");
  const dialog = h("dialog", { class: "dialog why", "aria-labelledby": "why-title", onclose: () => dialog.remove() },
    h("h2", { id: "why-title" }, t("why.title")), close, body);
  close.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  try {
    const asked = { text, product_id: result.image_id, index: chosenIndex(), variant: variant ?? undefined }; // of its images the one that is shown
    replace(body, drawn(await api("POST", "v1/explain", asked), result, title));
  } catch (error) {
    replace(body, h("p", { class: "warning", role: "alert" }, error.message));
  }
}

function drawn(reply, result, title) {
  const most = Math.max(1e-9, ...[...reply.words, ...reply.regions].map((one) => one.relevance));
  const regions = strongest(reply.regions);
  const boxes = regions.map((region, place) => box(region, place, most));
  const words = reply.words.map((word) => wordButton(word, most));
  link(words, reply.words, boxes);
  const image = h("div", { class: "why-image" }, productImage(result.product_id, title, result.image_id),
    svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none" }, boxes));
  const without = (what, after) => h("li", null, t("why.without", { what, before: short(reply.score), after: short(after) }));
  const told = (parts, name) => parts.map((one, place) =>
    typeof one.score_without === "number" && without(name(one, place), one.score_without));
  return [
    image,
    h("div", null,
      h("p", { class: "why-score" }, gradeOf(reply.probability), " · ", percent(reply.probability)),
      h("p", { class: "why-words" }, words),
      h("p", { class: "quiet" }, t("why.hover")),
      h("ul", { class: "quiet" },
        told(strongest(reply.words), (word) => `“${word.text}”`),
        told(regions, (region, place) => t("why.region", { number: place + 1 })))),
  ];
}

/** Words and boxes mark one another: a word the boxes, a box the words that count most. */
function link(words, wordParts, boxes) {
  const top = strongest(wordParts).map((part) => words[wordParts.indexOf(part)]);
  const mark = (nodes, on) => nodes.forEach((node) => node.classList.toggle("strong", on));
  const pair = (node, others) => {
    for (const name of ["mouseenter", "focus"]) node.addEventListener(name, () => mark([node, ...others], true));
    for (const name of ["mouseleave", "blur"]) node.addEventListener(name, () => mark([node, ...others], false));
  };
  words.forEach((word) => pair(word, boxes));
  boxes.forEach((one) => pair(one, top));
}

function strongest(parts) {
  return [...parts].sort((one, other) => other.relevance - one.relevance).slice(0, SHOWN);
}

function box({ box: [left, top, right, bottom], relevance }, place, most) {
  const where = { x: left, y: top, width: right - left, height: bottom - top };
  const label = t("why.region", { number: place + 1 });
  return svg("rect", { ...where, tabindex: 0, role: "img", "aria-label": label, style: { "--relevance": relevance / most } });
}

function wordButton(word, most) {
  const share = Math.max(0, word.relevance / most);
  return h("button", { type: "button", class: "why-word", style: { "--relevance": share } }, word.text);
}

function short(score) {
  return score.toLocaleString(language(), { maximumFractionDigits: 1, minimumFractionDigits: 1 });
}

function percent(probability) {
  return probability.toLocaleString(language(), { style: "percent", maximumFractionDigits: probability < 0.1 ? 1 : 0 });
}
