// What narrows results: values with counts, lowest and highest numbers.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { columnLabel, isTitle, valueLabel } from "./labels.js";
import { conditionCount, facetColumns, rangeColumns } from "./query.js";

const SHOWN = 6;

/** The filters of results; `known` are the facets of the same search without conditions, for what a condition hides. */
export function facetPanel(query, columns, facets, known, search) {
  const groups = facetColumns(columns)
    .map((column) => ({ column, values: valuesOf(column, query, facets, known) }))
    .filter(({ column, values }) => query.chosen[column.name] || isUseful(column, values))
    .map(({ column, values }) => facet(column, values, query, search));
  const ranges = rangeColumns(columns).map((column) => range(column, query, search));
  const count = conditionCount(query);
  const clear = () => {
    query.chosen = {};
    query.ranges = {};
    search();
  };
  return h("details", { class: "filters", open: matchMedia("(min-width: 900px)").matches },
    h("summary", null, t("filters.title"), count > 0 && h("span", { class: "count" }, count)),
    count > 0 && h("button", { type: "button", class: "plain clear", onclick: clear }, t("filters.clear")),
    h("form", { class: "filter-groups", onsubmit: (event) => event.preventDefault() }, groups, ranges));
}

/** Properties that tell products apart, the finest first: they are shown on cards. */
export function tellingColumns(columns, facets) {
  const useful = facetColumns(columns).filter((column) => isUseful(column, facets[column.name] ?? []));
  return useful.sort((one, other) => facets[other.name].length - facets[one.name].length);
}

/** Several values that products share; not titles, codes and whatever else is each product's own. */
function isUseful(column, values) {
  const counted = values.reduce((sum, { count }) => sum + count, 0);
  return !isTitle(column) && values.length > 1 && values.length <= 0.6 * counted;
}

function valuesOf(column, query, facets, known) {
  const now = facets[column.name] ?? [];
  if (!query.chosen[column.name]) return now;
  const listed = new Set(now.map(({ value }) => String(value)));
  const others = (known[column.name] ?? []).filter(({ value }) => !listed.has(String(value)));
  const missing = query.chosen[column.name].filter((value) => ![...now, ...others].some((one) => String(one.value) === value));
  return [...now, ...others.map(({ value }) => ({ value })), ...missing.map((value) => ({ value }))];
}

function facet(column, values, query, search) {
  const chosen = new Set(query.chosen[column.name] ?? []);
  const items = values.map(({ value, count }) => {
    const text = String(value);
    const toggle = (event) => {
      if (event.target.checked) chosen.add(text);
      else chosen.delete(text);
      if (chosen.size) query.chosen[column.name] = [...chosen];
      else delete query.chosen[column.name];
      search();
    };
    return h("li", null, h("label", null,
      h("input", { type: "checkbox", checked: chosen.has(text), dataset: { facet: `${column.name}=${text}` }, onchange: toggle }),
      h("span", null, valueLabel(value, column)), " ", count !== undefined && h("span", { class: "count" }, count)));
  });
  const rest = items.slice(SHOWN);
  return h("fieldset", null, h("legend", null, columnLabel(column.name)),
    h("ul", null, items.slice(0, SHOWN)),
    rest.length > 0 && h("details", { class: "rest", open: rest.some((item) => item.querySelector("input").checked) }, h("summary", null, t("filters.more", { count: rest.length })), h("ul", null, rest)));
}

function range(column, query, search) {
  const [low, high] = query.ranges[column.name] ?? ["", ""];
  const inputs = [low, high].map((value, place) => h("input", { type: "number", step: "any", value, inputmode: "decimal",
    "aria-label": t(place ? "filters.highest" : "filters.lowest", { column: columnLabel(column.name) }),
    placeholder: t(place ? "filters.to" : "filters.from"), dataset: { range: `${column.name}.${place}` }, onchange: changed, onblur: left }));
  /** What was typed before the inputs were drawn again is a change that no event tells of. */
  function left() {
    const searched = query.ranges[column.name] ?? [];
    if (inputs.some((input, place) => input.value !== (searched[place] ?? ""))) changed();
  }
  function changed() {
    if (inputs[0].closest("[data-drawing]")) return; // taken out of the page, not left by the shopper
    const values = inputs.map((input) => input.value);
    if (values.some(Boolean)) query.ranges[column.name] = values;
    else delete query.ranges[column.name];
    search();
  }
  return h("fieldset", null, h("legend", null, columnLabel(column.name), column.unit && ` (${column.unit})`),
    h("div", { class: "range" }, inputs[0], h("span", { "aria-hidden": "true" }, "–"), inputs[1]));
}
