// For operators: is it ready, queues, seconds by stage, versions of indexes, tasks at work, and a rebuild.

import { replace } from "./dom.js";
import { addWords } from "./i18n.js";
import { badge, button, confirmed, heading, moment, number, problem, table } from "./parts.js";
import { MERCH_WORDS } from "./words_merch.js";
import { TOOL_WORDS } from "./words_tools.js";

addWords(MERCH_WORDS);
addWords(TOOL_WORDS);

const LOOK_MS = 5000;

/** Show the page, and look again every five seconds while somebody sees it. */
export async function mount(root, app) {
  const { h, t } = app;
  const body = h("div", { class: "operations-body" });
  const seen = h("p", { class: "quiet" });
  let timer = null;
  let ended = false;
  let denied = false;
  let before = null;

  async function look() {
    clearTimeout(timer);
    try {
      const status = await app.api("GET", "v1/status");
      denied = false;
      draw(status);
      seen.textContent = t("operations.seen", { time: new Date().toLocaleTimeString(app.language === "zh" ? "zh-CN" : "en-GB") });
    } catch (error) {
      if (!ended) replace(body, problem(app, error, look));
      denied = ["forbidden", "unauthorized"].includes(error.code); // looking again would ask for a key again and again
      if (denied) return;
    }
    if (!ended) timer = setTimeout(() => (document.hidden ? null : look()), LOOK_MS);
  }

  function draw(status) {
    const open = body.querySelector("details")?.open;
    const focus = document.activeElement?.dataset?.rebuild;
    replace(body, parts(app, status, before, look));
    if (open) body.querySelector("details").open = true;
    if (focus) body.querySelector(`[data-rebuild="${CSS.escape(focus)}"]`)?.focus();
    before = { status, at: performance.now() };
  }

  const back = () => !document.hidden && !denied && look();
  document.addEventListener("visibilitychange", back);
  replace(root, heading(t("nav.operations"), t("operations.lead")), seen, body);
  await look();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", back);
  };
}

function parts(app, status, before, look) {
  const { h, t } = app;
  return [
    h("div", { class: "tiles numbers" }, readiness(app, status), ...totals(app, status, before)),
    h("h2", { class: "part" }, t("operations.indexes")),
    h("div", { class: "tiles" }, status.indexes.map((index) => indexCard(app, index, status.tasks, look))),
    status.tasks.length > 0 && [h("h2", { class: "part" }, t("operations.tasks")), tasks(app, status.tasks)],
    h("div", { class: "tiles" }, card(app, "operations.stages", times(app, status.stages, "stage")), card(app, "operations.queues", queues(app, status.queues))),
    h("div", { class: "tiles" }, card(app, "operations.rejections", counts(app, { ...status.rejections, ...prefixed(status.degraded) }, "reason")), card(app, "operations.answers", counts(app, status.answers, "status"))),
    h("details", { class: "box panel" }, h("summary", null, t("operations.routes")), times(app, status.routes, "route")),
  ];
}

function card(app, key, content) {
  return app.h("section", { class: "box panel" }, app.h("h3", null, app.t(key)), content);
}

function readiness(app, status) {
  const { h, t } = app;
  const part = ([name, sound]) => h("li", { class: "row" }, badge(sound ? "good" : "bad", t(sound ? "operations.sound" : "operations.unsound")), t(`check.${name}`));
  return h(
    "section",
    { class: "box panel" },
    h("h3", { class: status.ready ? "good-text" : "warning" }, t(status.ready ? "operations.ready" : "operations.not_ready")),
    h("ul", { class: "plain-list" }, Object.entries(status.checks).map(part)),
    h("p", { class: "quiet" }, t("operations.version", { version: status.version, time: lasting(app, status.uptime_s) })),
  );
}

function lasting(app, seconds) {
  const [amount, unit] = seconds < 120 ? [seconds, "second"] : seconds < 7200 ? [seconds / 60, "minute"] : seconds < 172_800 ? [seconds / 3600, "hour"] : [seconds / 86_400, "day"];
  return new Intl.NumberFormat(app.language === "zh" ? "zh-CN" : "en-GB", { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 }).format(amount);
}

/** The numbers that one looks at first. */
function totals(app, status, before) {
  const sum = (counted) => Object.values(counted).reduce((all, one) => all + one, 0);
  const answers = sum(status.answers);
  const seconds = before ? (performance.now() - before.at) / 1000 : status.uptime_s;
  const rate = Math.max(answers - (before ? sum(before.status.answers) : 0), 0) / Math.max(seconds, 0.001);
  const search = status.routes.find((one) => one.route === "/v1/search");
  const big = (key, value, words) => app.h("section", { class: "box panel headline" }, app.h("h3", null, app.t(key)), app.h("p", { class: "figure" }, value), app.h("p", { class: "quiet" }, words));
  const waiting = status.queues.reduce((all, one) => all + one.waiting, 0);
  return [
    big("operations.requests", number(app, rate, 1), app.t("operations.in_all", { count: number(app, answers) })),
    big("operations.search", search ? `${number(app, search.p50_ms)} ms` : "–", search ? app.t("operations.p95", { value: number(app, search.p95_ms) }) : app.t("operations.no_search")),
    big("operations.waiting", number(app, waiting), app.t("operations.refused", { count: number(app, sum(status.rejections)), lost: number(app, status.lost_queries) })),
  ];
}

function indexCard(app, index, running, look) {
  const { h, t } = app;
  const busy = running.some((task) => task.kind === "index.rebuild" && task.index === index.name);
  const fact = (key, value) => [h("dt", null, t(key)), h("dd", null, value)];
  const listed = (counted, key) => Object.entries(counted).map(([name, count]) => t(key, { name: t(`result.${name}`), count: number(app, count) })).join(", ") || "–";
  return h(
    "section",
    { class: "box panel" },
    h("h3", null, index.name),
    h(
      "dl",
      null,
      fact("index.version", h("span", { class: "id" }, index.version)),
      fact("index.images", number(app, index.images)),
      fact("index.unindexed", number(app, index.unindexed)),
      fact("index.reloads", number(app, index.reloads)),
      fact("index.writes", listed(index.writes, "index.count")),
      fact("index.pages", listed(index.topic_pages, "index.count")),
    ),
    index.can_rebuild
      ? button(t(busy ? "rebuild.running" : "rebuild.button"), () => rebuild(app, index, look), "", { disabled: busy, dataset: { rebuild: index.name } })
      : h("p", { class: "quiet" }, t("rebuild.command"), h("code", null, index.rebuild_command)),
  );
}

async function rebuild(app, index, look) {
  const { t } = app;
  if (!(await confirmed(app, { title: t("rebuild.title", { name: index.name }), text: t("rebuild.text"), yes: t("rebuild.button") }))) return;
  try {
    await app.api("POST", `v1/indexes/${encodeURIComponent(index.name)}/rebuild`);
    app.notice(t("rebuild.begun"), "success");
  } catch (error) {
    app.notice(error.message, "error");
  }
  look();
}

function tasks(app, running) {
  const { t } = app;
  const heads = [t("upload.when"), t("upload.what"), t("index"), t("upload.state"), t("upload.lines")];
  const lines = (task) => (task.total === null ? "–" : { number: `${number(app, task.done)} / ${number(app, task.total)}` });
  const state = (task) => [t(`task.${task.state}`), task.note].filter(Boolean).join(": ");
  return table(t("operations.tasks"), heads, running.map((task) => [moment(app, task.created_at), t(`task.${task.kind}`), task.index, state(task), lines(task)]));
}

function times(app, rows, name) {
  const { h, t } = app;
  if (!rows.length) return h("p", { class: "quiet" }, t("operations.none"));
  const heads = [t(`operations.${name}`), t("operations.count"), t("operations.mean"), t("operations.median"), t("operations.p95_head")];
  const milliseconds = (value) => ({ number: value === null ? "–" : number(app, value, 1) });
  const cells = (one) => [name === "stage" ? t(`stage.${one.stage}`) : one.route, { number: number(app, one.count) }, milliseconds(one.mean_ms), milliseconds(one.p50_ms), milliseconds(one.p95_ms)];
  return table(t(`operations.${name}s`), heads, rows.map(cells));
}

function queues(app, rows) {
  const { t } = app;
  const heads = [t("operations.queue"), t("operations.waits"), t("operations.batches"), t("operations.batch")];
  const cells = (one) => [t(`stage.${one.name}`), { number: number(app, one.waiting) }, { number: number(app, one.batches) }, { number: one.mean_batch === null ? "–" : number(app, one.mean_batch, 1) }];
  return table(t("operations.queues"), heads, rows.map(cells));
}

function prefixed(degraded) {
  return Object.fromEntries(Object.entries(degraded).map(([name, count]) => [`degraded.${name}`, count]));
}

function counts(app, counted, name) {
  const { h, t } = app;
  const rows = Object.entries(counted).filter(([, count]) => count > 0);
  if (!rows.length) return h("p", { class: "quiet" }, t("operations.none"));
  const words = (key) => (name === "reason" ? t(`reason.${key}`) : key);
  return table(t(`operations.${name}`), [t(`operations.${name}`), t("operations.count")], rows.map(([key, count]) => [words(key), { number: number(app, count) }]));
}
