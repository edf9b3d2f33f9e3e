// What changed on the pages of topics, and what shoppers ask for.

import { replace } from "./dom.js";
import { addWords } from "./i18n.js";
import { address, badge, button, fill, heading, moment, number, percent, productPath, seen, table, thumbnail } from "./parts.js";
import { MERCH_WORDS } from "./words_merch.js";
import { TOOL_WORDS } from "./words_tools.js";

addWords(MERCH_WORDS);
addWords(TOOL_WORDS);

const AT_ONCE = 60;
const ALONE = 3;
const DAY_MS = 86_400_000;
const KINDS = { entered: "good", left: "bad", moved: "plain" };

/** Show the page; "#/changes?since=2026-11-28" begins at the midnight of that day. */
export async function mount(root, app) {
  const { h, t } = app;
  const since = /^\d{4}-\d\d-\d\d$/.test(app.route.query.get("since") ?? "") ? app.route.query.get("since") : day(-1);
  const log = h("section", { "aria-label": t("changes.title") });
  const queries = h("section", { "aria-label": t("queries.title") });
  const input = h("input", {
    id: "since", type: "date", value: since, max: day(0),
    onchange: () => input.value && app.navigate(`#/changes?since=${input.value}`),
  });
  const quick = (days) => button(t(`changes.days_${days}`), () => app.navigate(`#/changes?since=${day(-days)}`), day(-days) === since ? "chosen" : "");
  const chooser = h("div", { class: "row chooser" }, h("label", { for: "since" }, t("changes.since")), input, [1, 7, 30].map(quick));
  replace(root, heading(t("changes.title"), t("changes.lead")), chooser, log, h("h2", { class: "part" }, t("queries.title")), queries);
  const showLog = () => fill(app, log, () => changes(app, since), showLog);
  const showQueries = () => fill(app, queries, () => statistics(app, since), showQueries);
  await Promise.all([showLog(), showQueries()]);
}

/** A day of the reader's calendar, so many from today. */
function day(offset) {
  const date = new Date(Date.now() + offset * DAY_MS);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

async function changes(app, since) {
  const { h, t } = app;
  const rows = h("ol", { class: "log" });
  const shown = new Set(Object.keys(KINDS));
  const filters = Object.keys(KINDS).map((kind) => {
    const toggle = () => {
      if (!shown.delete(kind)) shown.add(kind);
      for (const row of rows.children) row.hidden = !shown.has(row.dataset.kind);
    };
    return h("label", { class: "check" }, h("input", { type: "checkbox", checked: true, onchange: toggle }), t(`changes.${kind}`));
  });
  const said = h("p", { class: "quiet", role: "status" });
  let listed = 0;
  const more = h("div");
  const from = new Date(`${since}T00:00`).toISOString();

  async function add(offset) {
    const reply = await app.api("GET", address(app, "v1/changes", { since: from, limit: AT_ONCE, offset }));
    for (const group of grouped(reply.changes)) {
      const row = group.length > ALONE ? entries(app, group) : group.map((change) => entry(app, change));
      for (const one of [row].flat()) {
        one.hidden = !shown.has(one.dataset.kind);
        rows.append(one);
      }
    }
    listed += reply.changes.length;
    said.textContent = t("changes.count", { count: number(app, listed), total: number(app, reply.total) });
    replace(more, reply.next_offset !== null && button(t("more"), () => fill(app, more, () => add(reply.next_offset), null)));
    return more.firstChild;
  }

  await add(0);
  if (!rows.children.length) return h("p", { class: "empty quiet" }, t("changes.none"));
  return [h("div", { class: "row" }, filters, said), rows, more];
}

/** Changes that follow each other, of one topic and moment and for one reason but for its probability. */
function grouped(changes) {
  const key = (one) => [one.topic_id, one.at, one.what, one.why.replace(/, probability .*/, "")].join("\n");
  const groups = [];
  for (const change of changes) {
    if (groups.length && key(groups.at(-1)[0]) === key(change)) groups.at(-1).push(change);
    else groups.push([change]);
  }
  return groups;
}

function entry(app, change) {
  const { h } = app;
  const title = h("p", { class: "title" }, change.product_id);
  const text = h("div", null, headOf(app, change), title, h("p", { class: "cause" }, change.why));
  const row = h("li", { class: "row entry", dataset: { kind: change.what } }, thumbnail(app, change.product_id, null), text);
  seen(row, () => named(app, change.product_id, (name) => (title.textContent = name)));
  return row;
}

/** Several products that came or went together: their images beside each other. */
function entries(app, group) {
  const { h, t } = app;
  const [first] = group;
  const why = first.why.replace(/, probability .*/, "");
  const words = h("p", { class: "cause" }, t("changes.together", { count: number(app, group.length), why }));
  const images = group.map((change) => {
    const image = thumbnail(app, change.product_id, null, change.product_id);
    seen(image, () => named(app, change.product_id, (name) => ((image.alt = name), (image.title = name))));
    return image;
  });
  const strip = h("div", { class: "thumbnails", tabindex: "0", role: "group", "aria-label": why }, images);
  return h("li", { class: "entry several", dataset: { kind: first.what } }, headOf(app, first), words, strip);
}

function headOf(app, change) {
  const { h, t } = app;
  const topic = h("a", { href: `#/topics/${encodeURIComponent(change.topic_id)}` }, change.topic_id);
  return h("p", { class: "row quiet" }, badge(KINDS[change.what], t(`changes.${change.what}`)), topic, moment(app, change.at));
}

/** Tell a product's title, where it still is in the catalogue. */
async function named(app, id, tell) {
  const product = await app.api("GET", address(app, productPath(id)), undefined, { quiet: true });
  if (product.texts.length) tell(product.texts[0]);
}

async function statistics(app, since) {
  const { h, t } = app;
  const days = Math.max((Date.now() - new Date(`${since}T00:00`)) / DAY_MS, 0.01);
  const parameters = { days, limit: 20 };
  const [queries, clicks] = await Promise.all([
    app.api("GET", address(app, "v1/statistics/queries", parameters)),
    app.api("GET", address(app, "v1/statistics/click-through", parameters)),
  ]);
  return h("div", { class: "tiles" }, asked(app, "without", queries.without_results), asked(app, "popular", queries.popular), ranks(app, clicks.ranks));
}

function asked(app, name, queries) {
  const { h, t } = app;
  const heads = [t("queries.text"), t("queries.searches"), t("queries.empty")];
  const link = (one) => h("a", { href: `#/?q=${encodeURIComponent(one.text)}` }, one.text);
  const rows = queries.map((one) => [link(one), { number: number(app, one.searches) }, { number: number(app, one.without_results) }]);
  const body = rows.length ? table(t(`queries.${name}`), heads, rows) : h("p", { class: "quiet" }, t("queries.none"));
  return h("section", { class: "box panel" }, h("h3", null, t(`queries.${name}`)), body);
}

/** Click-through by rank: a bar each, as long as the rate is against the best. */
function ranks(app, rows) {
  const { h, t } = app;
  const best = Math.max(...rows.map((one) => one.click_through), 0.000001);
  const heads = [t("clicks.rank"), t("clicks.rate"), t("clicks.clicks"), t("clicks.impressions")];
  const bar = (one) =>
    h("span", { class: "rate" }, h("meter", { min: 0, max: best, value: one.click_through, "aria-hidden": "true" }), percent(app, one.click_through, 1));
  const cells = rows.map((one) => [{ number: one.rank }, bar(one), { number: number(app, one.clicks) }, { number: number(app, one.impressions) }]);
  const body = rows.length ? table(t("clicks.title"), heads, cells) : h("p", { class: "quiet" }, t("queries.none"));
  return h("section", { class: "box panel" }, h("h3", null, t("clicks.title")), body);
}
