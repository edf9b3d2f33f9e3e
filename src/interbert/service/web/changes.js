// What changed on the pages of topics, and what shoppers ask for.

import { replace } from "./dom.js";
import { addWords } from "./i18n.js";
import { address, badge, button, fill, heading, moment, number, percent, productPath, seen, table, thumbnail } from "./parts.js";
import { MERCH_WORDS } from "./words_merch.js";
import { TOOL_WORDS } from "./words_tools.js";

addWords(MERCH_WORDS);
addWords(TOOL_WORDS);

const AT_ONCE = 60;
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
  const more = h("div");
  const from = new Date(`${since}T00:00`).toISOString();

  async function add(offset) {
    const reply = await app.api("GET", address(app, "v1/changes", { since: from, limit: AT_ONCE, offset }));
    for (const change of reply.changes) {
      const row = entry(app, change);
      row.hidden = !shown.has(change.what);
      rows.append(row);
    }
    said.textContent = t("changes.count", { count: number(app, rows.children.length), total: number(app, reply.total) });
    replace(more, reply.next_offset !== null && button(t("more"), () => fill(app, more, () => add(reply.next_offset), null)));
    return reply.total > 0 ? more.childNodes[0] : null;
  }

  await add(0);
  if (!rows.children.length) return h("p", { class: "empty quiet" }, t("changes.none"));
  return [h("div", { class: "row" }, filters, said), rows, more];
}

function entry(app, change) {
  const { h, t } = app;
  const title = h("span", { class: "title" }, change.product_id);
  const row = h(
    "li",
    { class: "row entry", dataset: { kind: change.what } },
    thumbnail(app, change.product_id, null),
    h(
      "div",
      null,
      h("p", { class: "row" }, badge(KINDS[change.what], t(`changes.${change.what}`)), title),
      h("p", { class: "why" }, change.why),
      h("p", { class: "quiet" }, h("a", { href: `#/topics/${encodeURIComponent(change.topic_id)}` }, change.topic_id), " · ", moment(app, change.at)),
    ),
  );
  seen(row, async () => {
    try {
      const product = await app.api("GET", address(app, productPath(change.product_id)), undefined, { quiet: true });
      title.textContent = product.texts[0] ?? change.product_id;
    } catch {
      title.textContent = change.product_id; // it was removed
    }
  });
  return row;
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
  return h("section", { class: "card tile" }, h("h3", null, t(`queries.${name}`)), body);
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
  return h("section", { class: "card tile" }, h("h3", null, t("clicks.title")), body);
}
