// Why a product was found: what can be seen from the answer, and whether the model can be asked.

import { api } from "./api.js";
import { language, t } from "./i18n.js";
import { isTitle } from "./labels.js";
import { keep, recall } from "./session.js";

const LATIN_WORD = /[\p{L}\p{N}]{2,}/gu;
const HAN = /\p{Script=Han}/u;
const HAN_RUN = /\p{Script=Han}{2,}/gu;
const SAME_START = 4;

/**
 * Reasons that the answer itself gives, each `{kind, text}`; kind is "words", "image" or "model".
 *
 * @param query of the shop; `searched` is its text as it was corrected.
 * @param columns of the index.
 */
export function explanation(result, query, columns) {
  const reasons = [];
  const titles = [...result.texts, ...columns.filter(isTitle).map((column) => result.metadata[column.name] ?? "")];
  const words = matchedWords(query.searched ?? query.text, titles.join(" "));
  if (words.length) reasons.push({ kind: "words", text: t("why.words", { words: words.join(language() === "zh" ? "、" : ", ") }) });
  const image = query.image || query.like;
  if (image && !query.text) reasons.push({ kind: "image", text: t(query.like ? "why.like" : "why.image") });
  if (!reasons.length) reasons.push({ kind: "model", text: t(image ? "why.both" : "why.model") });
  return reasons;
}

/** Words of a text that a title has, too, whatever their endings; of Chinese, pieces of two characters and more. */
export function matchedWords(text, title) {
  const low = title.toLowerCase();
  const titles = low.match(LATIN_WORD) ?? [];
  const alike = (one, other) => one === other || (Math.min(one.length, other.length) >= SAME_START && sameStart(one, other));
  const words = (text.toLowerCase().match(LATIN_WORD) ?? []).filter((word) => !HAN.test(word));
  const found = words.filter((word) => titles.some((one) => alike(word, one)));
  for (const run of text.match(HAN_RUN) ?? []) found.push(...longestPieces(run, title));
  return [...new Set(found)];
}

function sameStart(one, other) {
  const [short, long] = one.length < other.length ? [one, other] : [other, one];
  return long.startsWith(short) && long.length - short.length <= 3;
}

function longestPieces(run, title) {
  const found = [];
  for (let start = 0; start < run.length - 1; ) {
    let end = run.length;
    while (end > start + 1 && !title.includes(run.slice(start, end))) end--;
    if (end > start + 1) found.push(run.slice(start, end));
    start = Math.max(end, start + 1);
  }
  return found;
}

let offered = null;

/** Whether the service explains results; asked once. */
export function canExplain() {
  offered ??= (async () => {
    const known = recall("explains");
    if (known !== null) return known === "yes";
    const { paths } = await api("GET", "openapi.json", undefined, { quiet: true });
    const explains = Object.keys(paths).some((path) => path.endsWith("v1/explain"));
    keep("explains", explains ? "yes" : "no");
    return explains;
  })().catch(() => {
    offered = null;
    return false;
  });
  return offered;
}
