// How a product is written: its title, its columns, its probability.

import { language, t } from "./i18n.js";

const HAN = /\p{Script=Han}/u;
const TITLES = /^(title|name|caption|description)(_|$)/i;
const PRICES = /price|preis|prix|precio|价/i;
const GRADES = [
  [0.9, "match.excellent"],
  [0.6, "match.good"],
  [0.3, "match.fair"],
  [0, "match.weak"],
];

/** The title in the language of the page, where the product has one. */
export function titleOf(product, columns) {
  const named = columns.filter(isTitle).map((column) => product.metadata[column.name]);
  const titles = [...product.texts, ...named].filter((text) => typeof text === "string" && text);
  const wanted = titles.find((text) => HAN.test(text) === (language() === "zh"));
  return wanted ?? titles[0] ?? product.product_id;
}

/** Whether a column is a further title rather than a property. */
export function isTitle(column) {
  return column.kind === "text" && TITLES.test(column.name);
}

/** Whether a column is what a product costs. */
export function isPrice(column) {
  return ["number", "integer"].includes(column.kind) && PRICES.test(column.name);
}

/** A column's name as people write it: "baseColour" is "Base colour". */
export function columnLabel(name) {
  const known = t(`column.${name.toLowerCase()}`);
  if (!known.startsWith("column.")) return known;
  const words = name.replace(/[_-]+/g, " ").replace(/(\p{Ll})(\p{Lu})/gu, "$1 $2");
  return words.charAt(0).toUpperCase() + words.slice(1).toLowerCase();
}

/** A value as people write it; an empty text for none. */
export function valueLabel(value, column) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (Array.isArray(value)) return value.map((one) => valueLabel(one, column)).join(", ");
  if (typeof value !== "number") return String(value);
  const whole = column?.kind === "integer";
  const digits = isPrice(column ?? { name: "" }) && !whole ? { minimumFractionDigits: 2 } : {};
  const plain = whole && !isPrice(column); // a year has no thousands
  const number = value.toLocaleString(language(), { maximumFractionDigits: 2, useGrouping: !plain, ...digits });
  const unit = column?.unit ?? "";
  return unit.length === 1 && !/\p{L}/u.test(unit) ? unit + number : unit ? `${number} ${unit}` : number;
}

/** What the probability of a match means, in words. */
export function gradeOf(probability) {
  return t(GRADES.find(([least]) => probability >= least)[1]);
}
