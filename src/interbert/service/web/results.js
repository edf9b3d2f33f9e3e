// Results of a search as they are shown: first cards, then their images, then what else can be done with them.

import { chosenColumns } from "./api.js";
import { card, placeholder } from "./card.js";
import { h, replace } from "./dom.js";
import { clicked, viewWatch } from "./events.js";
import { facetPanel, tellingColumns } from "./facets.js";
import { titleOf } from "./labels.js";
import { conditionCount } from "./query.js";
import { rewriteNotes, sortSelect, summary } from "./results_top.js";
import { canExplain, explanation } from "./why.js";
import { showWhy } from "./why_dialog.js";

const PLACEHOLDERS = 8;

/** The part of the page below the search bar. */
export class ResultsView {
  /**
   * @param query of the page, which filters and sorting change.
   * @param actions `search()` after a change, `more()` for the next page, `again()` after a failure, `left()` before
   *   a product is opened.
   */
  constructor(app, query, actions) {
    Object.assign(this, { app, query, actions, telling: [], explains: false, facts: new WeakMap() });
    this.side = h("aside", { "aria-label": app.t("filters.title") });
    this.top = h("div", { class: "results-top" });
    this.grid = h("div", { class: "grid" });
    this.foot = h("div", { class: "results-foot" });
    this.said = h("p", { class: "hidden", role: "status" });
    const list = h("section", { "aria-label": app.t("results.title") }, this.top, this.grid, this.foot);
    this.node = h("div", { class: "results" }, this.side, list, this.said);
    this.views = viewWatch((node) => this.facts.get(node));
  }

  /** Columns of the chosen index. */
  async columns() {
    this.known = await chosenColumns();
    return this.known;
  }

  clear() {
    for (const node of [this.side, this.top, this.grid, this.foot, this.said]) replace(node);
  }

  /** Results are on the way; filters stay where they are. */
  wait() {
    this.grid.setAttribute("aria-busy", "true");
    replace(this.foot);
    if (!this.grid.querySelector("a.open")) replace(this.grid, Array.from({ length: PLACEHOLDERS }, placeholder));
  }

  /** Show the first page; `known` are values of facets beside those that conditions hide. */
  draw(reply, known) {
    const { t } = this.app;
    this.grid.removeAttribute("aria-busy");
    this.telling = tellingColumns(this.known, known);
    replace(this.grid);
    this.add(reply);
    const notes = rewriteNotes(reply.rewrites, () => this.change({ spelling: false }));
    const sorting = sortSelect(this.known, this.query.sort, (sort) => this.change({ sort }));
    replace(this.top, h("div", { class: "results-line" }, h("h2", null, summary(reply, this.query)), sorting), notes,
      reply.degraded && h("p", { class: "quiet" }, t("results.degraded")));
    if (!reply.results.length) this.drawEmpty();
    afterPaint(() => {
      performance.mark("interbert:first-results");
      this.said.textContent = summary(reply, this.query);
      this.drawSide(reply.facets, known);
    });
  }

  /** Show a further page below. */
  add(reply) {
    const searched = { ...this.query, searched: reply.rewrites[0]?.searched };
    const cards = reply.results.map((result) => this.card(result, reply, searched));
    const first = this.foot.contains(document.activeElement) && cards[0];
    this.grid.append(...cards);
    for (const one of cards) this.views.observe(one);
    this.drawFoot(reply.next_cursor);
    if (first) first.querySelector("a.open").focus({ preventScroll: true });
    if (this.query.text) this.offerWhy();
  }

  /** Show why there are no results, or no more. */
  fail(error) {
    const { t } = this.app;
    this.grid.removeAttribute("aria-busy");
    this.grid.querySelectorAll(".empty-card").forEach((node) => node.remove());
    replace(this.foot, h("div", { class: "empty", role: "alert" }, h("h2", null, t("error.title")), h("p", null, error.message),
      h("button", { type: "button", class: "primary", onclick: this.actions.again }, t("again"))));
  }

  /** Whether there is a first card, which then has the focus. */
  focusFirst() {
    const link = this.grid.querySelector("a.open");
    link?.focus();
    return Boolean(link);
  }

  ended() {
    this.views.disconnect();
  }

  change(fields) {
    Object.assign(this.query, fields);
    this.actions.search();
  }

  card(result, reply, searched) {
    const open = () => {
      this.actions.left();
      clicked(result, reply.query_id);
    };
    const title = titleOf(result, this.known);
    const why = this.query.text ? () => showWhy(result, searched.searched ?? this.query.text, title, reply.variant) : null;
    const reasons = explanation(result, searched, this.known);
    const node = card(result, { columns: this.known, telling: this.telling, reasons, open, why });
    this.facts.set(node, { result, queryId: reply.query_id });
    return node;
  }

  /** The buttons that ask why come into sight once it is known that the service answers them. */
  async offerWhy() {
    this.node.classList.toggle("explains", await canExplain());
  }

  drawFoot(cursor) {
    const { t } = this.app;
    const button = h("button", { type: "button", class: "more", onclick: () => (button.disabled = true, this.actions.more()) }, t("results.more"));
    replace(this.foot, cursor && button);
  }

  drawSide(facets, known) {
    const { dataset: focused = {}, value: typed } = document.activeElement ?? {};
    const opened = this.side.querySelector("details.filters")?.open;
    this.side.dataset.drawing = "";
    replace(this.side, facetPanel(this.query, this.known, facets, known, this.actions.search));
    delete this.side.dataset.drawing;
    if (opened !== undefined) this.side.querySelector("details.filters").open = opened;
    const same = [...this.side.querySelectorAll("input")].find(
      ({ dataset }) => (focused.facet ?? focused.range) && dataset.facet === focused.facet && dataset.range === focused.range,
    );
    if (same && focused.range) same.value = typed;
    same?.closest("details.rest")?.setAttribute("open", "");
    same?.focus({ preventScroll: true });
  }

  drawEmpty() {
    const { t } = this.app;
    const clear = () => this.change({ chosen: {}, ranges: {} });
    const conditions = conditionCount(this.query) > 0;
    replace(this.foot, h("div", { class: "empty" }, h("h2", null, t("empty.title")),
      h("ul", null, conditions && h("li", null, t("empty.filters")), h("li", null, t("empty.words")), h("li", null, t("empty.image"))),
      conditions && h("button", { type: "button", class: "primary", onclick: clear }, t("filters.clear"))));
  }
}

/** Do something once what was drawn is on the screen. */
function afterPaint(work) {
  requestAnimationFrame(() => setTimeout(work));
}
