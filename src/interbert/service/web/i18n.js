// Words of the page in English and Chinese.

import { EN } from "./words_en.js";
import { ZH } from "./words_zh.js";

const WORDS = { en: { ...EN }, zh: { ...ZH } };
const KEPT = "interbert.language";
let chosen = remembered() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

/** The words of a key, with `{name}` replaced by values; a key without words is shown as it is. */
export function t(key, values = {}) {
  const words = WORDS[chosen][key] ?? WORDS.en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** Words of other modules: `{en: {key: words}, zh: {...}}`. */
export function addWords(words) {
  for (const [name, added] of Object.entries(words)) Object.assign(WORDS[name], added);
}

/** "en" or "zh". */
export function language() {
  return chosen;
}

/** Show the page in another language, also the next time. */
export function setLanguage(name) {
  chosen = name;
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // a browser that keeps nothing: the choice lasts as long as the page
  }
}

function remembered() {
  try {
    const kept = localStorage.getItem(KEPT);
    return kept in WORDS ? kept : null;
  } catch {
    return null;
  }
}
