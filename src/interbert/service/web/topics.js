// Topics: the list of them, and the editor of one.

import { replace } from "./dom.js";
import { addWords } from "./i18n.js";
import { address, badge, button, fill, heading, moment, seen, thumbnail } from "./parts.js";
import { editTopic } from "./topic_editor.js";
import { MERCH_WORDS } from "./words_merch.js";

addWords(MERCH_WORDS);

const AT_ONCE = 200;
const SHOWN = 5;

/** Show the list, or the topic that the address names: "#/topics/winter", and "#/topics?new" for one to be made. */
export async function mount(root, app) {
  const { rest, query } = app.route;
  if (rest.length) return editTopic(root, app, rest[0]);
  if (query.has("new")) return editTopic(root, app, null);
  return list(root, app);
}

/** State of a topic: a draft, published, or outside of its time. */
export function stateOf(topic, now = new Date()) {
  if (!topic.published) return "draft";
  if (topic.valid_from && now < new Date(topic.valid_from)) return "scheduled";
  if (topic.valid_to && now >= new Date(topic.valid_to)) return "ended";
  return "published";
}

/** The state as a word in a colour. */
export function stateBadge(app, topic) {
  const state = stateOf(topic);
  const kind = { draft: "plain", published: "good", scheduled: "warn", ended: "bad" }[state];
  return badge(kind, app.t(`state.${state}`));
}

async function list(root, app) {
  const { h, t } = app;
  const make = button(t("topics.new"), () => app.navigate("#/topics?new"), "primary");
  const body = h("section", { "aria-label": t("nav.topics") });
  replace(root, heading(t("nav.topics"), t("topics.lead"), make), body);
  const show = () => fill(app, body, () => content(app), show);
  await show();
}

async function content(app) {
  const { h, t } = app;
  const ask = (offset) => app.api("GET", address(app, "v1/topics", { limit: AT_ONCE, offset }));
  const first = await ask(0);
  if (!first.total) return h("div", { class: "empty" }, h("p", null, t("topics.none")));
  const topics = [];
  const cards = [];
  const grid = h("ul", { class: "topic-list" });
  const none = h("p", { class: "quiet", hidden: true }, t("topics.unmatched"));
  const box = search(app, topics, cards, none);
  let next = null;
  const add = (reply) => {
    const added = reply.topics.map((topic) => card(app, topic));
    topics.push(...reply.topics);
    cards.push(...added);
    grid.append(...added);
    box.dispatchEvent(new Event("input")); // what was typed narrows these, too
    next = reply.next_offset;
    if (next === null) more.remove();
  };
  const more = button(t("more"), async () => {
    more.disabled = true;
    try {
      add(await ask(next));
    } catch (error) {
      app.notice(error.message, "error");
    } finally {
      more.disabled = false;
    }
  });
  add(first);
  return [first.total > 6 && box, grid, none, next !== null && more];
}

/** A box that hides the cards of topics without the words in it; topics and cards may become more. */
function search(app, topics, cards, none) {
  const { h, t } = app;
  const narrow = (event) => {
    const words = event.target.value.toLowerCase();
    topics.forEach((topic, place) => {
      cards[place].hidden = ![topic.id, ...topic.texts].some((text) => text.toLowerCase().includes(words));
    });
    none.hidden = cards.some((one) => !one.hidden);
  };
  return h("input", { type: "search", class: "narrow", placeholder: t("topics.search"), "aria-label": t("topics.search"), oninput: narrow });
}

function card(app, topic) {
  const { h, t } = app;
  const [title, ...others] = topic.texts;
  const time = [
    topic.valid_from && t("topics.from", { moment: moment(app, topic.valid_from) }),
    topic.valid_to && t("topics.to", { moment: moment(app, topic.valid_to) }),
  ].filter(Boolean);
  const strip = h("div", { class: "strip", "aria-hidden": "true" });
  if (topic.active) seen(strip, () => fillStrip(app, topic, strip));
  else strip.append(h("p", { class: "quiet" }, t(`topics.closed.${stateOf(topic)}`)));
  return h(
    "li",
    { class: "box topic" },
    strip,
    h("h2", null, h("a", { href: `#/topics/${encodeURIComponent(topic.id)}` }, title)),
    others.length > 0 && h("p", { class: "quiet" }, others.join(" · ")),
    h("p", { class: "row" }, stateBadge(app, topic), h("span", { class: "quiet" }, time.join(", "))),
    h("p", { class: "quiet" }, t("topics.saved", { id: topic.id, revision: topic.revision, moment: moment(app, topic.updated_at) })),
  );
}

async function fillStrip(app, topic, strip) {
  const page = await app.api("GET", address(app, `v1/topics/${encodeURIComponent(topic.id)}/items`, { limit: SHOWN }));
  const { h, t } = app;
  if (page.items.length) replace(strip, page.items.map((item) => thumbnail(app, item.product_id, item.image_id)));
  else replace(strip, h("p", { class: "quiet" }, t("preview.none")));
}
