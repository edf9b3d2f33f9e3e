// The lines above results: how many, for what, in which order, and what was searched instead.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { columnLabel } from "./labels.js";

/** How many results there are, and for what. */
export function summary(reply, query) {
  const count = reply.total;
  if (query.text) return t(count === 1 ? "results.one_for" : "results.count_for", { count, text: query.text });
  return t(count === 1 ? "results.one" : "results.count", { count });
}

/** What became of the words that were typed, with a button that searches for them as they are. */
export function rewriteNotes(rewrites, asTyped) {
  return rewrites.map(({ typed, searched, synonyms }) => {
    const changed = searched !== typed;
    const button = h("button", { type: "button", class: "link", onclick: asTyped }, t("rewrite.instead", { typed }));
    return h("p", { class: "rewrite" }, changed && [t("rewrite.searched", { searched }), " ", button],
      synonyms.length > 0 && h("span", { class: "quiet" }, " ", t("rewrite.synonyms", { words: synonyms.join(", ") })));
  });
}

/** The choice of an order: of the best match, or by a column of numbers or dates. */
export function sortSelect(columns, chosen, change) {
  const sortable = columns.filter((column) => ["integer", "number", "date"].includes(column.kind));
  if (!sortable.length) return null;
  const option = (value, label) => h("option", { value, selected: value === chosen }, label);
  const both = ({ name }) => [
    option(name, t("sort.up", { column: columnLabel(name) })),
    option(`-${name}`, t("sort.down", { column: columnLabel(name) })),
  ];
  return h("label", { class: "sort" }, h("span", null, t("sort.label")),
    h("select", { onchange: (event) => change(event.target.value) }, option("", t("sort.best")), sortable.map(both)));
}
