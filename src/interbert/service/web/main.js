// The page: routes, navigation, notices, the state of the connection.

import { api, chooseIndex, chosenIndex } from "./api.js";
import { h, replace } from "./dom.js";
import { drawHeader } from "./header.js";
import { language, t } from "./i18n.js";
import { onNetwork } from "./network.js";

const PAGES = ["shop", "product", "topics", "changes", "upload", "operations"];
const NOTICE_MS = 8000;
const main = document.getElementById("main");
let current = { number: 0, cleanup: null };

/** What every page gets; `route` is `{page, rest, query}` of "#/page/rest/rest?query". */
const app = {
  api,
  t,
  h,
  navigate,
  notice,
  index: chosenIndex,
  get language() {
    return language();
  },
  get route() {
    return routeOf(location.hash);
  },
};

/** Go to a route such as "#/product/1163". */
function navigate(hash) {
  if (location.hash === hash) show();
  else location.hash = hash;
}

/** Show a message for some seconds; kind is "info", "success" or "error", and errors stay until they are closed. */
function notice(message, kind = "info") {
  const close = () => node.remove();
  const button = h("button", { type: "button", class: "plain", "aria-label": t("close"), onclick: close }, "×");
  const node = h("div", { class: `notice ${kind}` }, h("p", null, message), button);
  document.getElementById("notices").append(node);
  if (kind !== "error") setTimeout(close, NOTICE_MS);
}

function routeOf(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [name, ...rest] = path.split("/").map(decoded);
  return { page: name || "shop", rest, query: new URLSearchParams(query) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function show() {
  const { page } = app.route;
  const number = current.number + 1;
  current.cleanup?.();
  current = { number, cleanup: null };
  const root = h("div", { class: `page ${page}` });
  replace(main, root);
  drawHeader(document.getElementById("header"), page === "product" ? "shop" : page, changed);
  document.getElementById("skip").textContent = t("skip");
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  document.title = page === "shop" ? "InterBERT" : `${t(`nav.${page}`)} · InterBERT`;
  try {
    if (!PAGES.includes(page)) throw new Error(t("error.page"));
    const cleanup = await (await import(`./${page}.js`)).mount(root, app);
    if (current.number === number) current.cleanup = cleanup;
    else cleanup?.();
  } catch (error) {
    if (current.number === number) replace(root, failure(error));
  }
}

function failure(error) {
  const button = h("button", { type: "button", class: "primary", onclick: show }, t("again"));
  return h("div", { class: "empty", role: "alert" }, h("h1", null, t("error.title")), h("p", null, error.message), button);
}

/** Language or index changed. */
function changed(index) {
  if (index) chooseIndex(index);
  show();
}

function drawNetwork({ kind, seconds, again }) {
  const node = document.getElementById("network");
  node.className = `network ${kind}`;
  if (!kind) {
    replace(node);
    return;
  }
  const key = kind === "away" && !navigator.onLine ? "offline" : kind;
  const button = again && h("button", { type: "button", class: "plain", onclick: again }, t("again"));
  replace(node, h("span", { class: "spinner", "aria-hidden": "true" }), h("p", null, t(`network.${key}`, { seconds })), button);
}

onNetwork(drawNetwork);
window.addEventListener("hashchange", (event) => {
  if (location.hash === "#main") history.replaceState(null, "", new URL(event.oldURL).hash || "#/");
  else show().then(() => window.scrollTo(0, 0));
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show();
