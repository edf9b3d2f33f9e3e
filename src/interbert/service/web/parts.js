// Parts that the pages for merchandisers and operators share: addresses, dates, numbers, badges, dialogs, small images.

import { apiBlob } from "./api.js";
import { h, replace } from "./dom.js";
import { askForKey } from "./key_dialog.js";
import { recall } from "./session.js";

const REMEMBERED = 400;
const images = new Map();
const shown = new Map();

/** A relative path with the chosen index and other parameters; those that are null or undefined are left out. */
export function address(app, path, parameters = {}) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries({ index: app.index(), ...parameters })) {
    if (value !== null && value !== undefined) found.set(name, value);
  }
  const query = found.toString();
  return query ? `${path}?${query}` : path;
}

/** A product's path; "/" of an id is a character of it. */
export function productPath(id) {
  return `v1/products/${encodeURIComponent(id)}`;
}

/** A moment of the API in the reader's words and time zone. */
export function moment(app, text) {
  const options = { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale(app), options).format(new Date(text));
}

/** A number with its separators. */
export function number(app, value, digits = 0) {
  return new Intl.NumberFormat(locale(app), { maximumFractionDigits: digits }).format(value);
}

/** A share of 1 in percent. */
export function percent(app, value, digits = 0) {
  return new Intl.NumberFormat(locale(app), { style: "percent", maximumFractionDigits: digits }).format(value);
}

function locale(app) {
  return app.language === "zh" ? "zh-CN" : "en-GB";
}

/** A short word in a colour: kind is "good", "bad", "warn" or "plain". */
export function badge(kind, text) {
  return h("span", { class: `badge ${kind}` }, text);
}

/** A heading of a page with a sentence below it and buttons beside it. */
export function heading(title, lead, ...buttons) {
  const text = h("div", null, h("h1", null, title), lead && h("p", { class: "lead" }, lead));
  return h("header", { class: "heading" }, text, buttons.length > 0 && h("div", { class: "buttons" }, buttons));
}

/** A button; kind is "primary", "plain", "danger" or "". */
export function button(text, onclick, kind = "", attributes = {}) {
  return h("button", { type: "button", class: kind, onclick, ...attributes }, text);
}

/** What went wrong, said in the page; a key without the right is said plainly, with a way to use another. */
export function problem(app, error, again) {
  const forbidden = error.code === "forbidden";
  const right = /'(search|write|admin)'/.exec(error.message)?.[1];
  const words = forbidden && right ? app.t(`right.${right}`) : error.message;
  const other = async () => (await askForKey(false)) && again();
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", null, h("strong", null, app.t(forbidden ? "right.title" : "problem.title")), " ", words),
    error.where && h("p", { class: "quiet" }, app.t("problem.where", { where: error.where })),
    again && button(app.t(forbidden ? "right.other" : "again"), forbidden ? other : again),
  );
}

/** Fill a node with what a promise makes: meanwhile with a word, afterwards with a problem where it failed. */
export async function fill(app, node, make, again) {
  node.setAttribute("aria-busy", "true");
  if (!node.childNodes.length) replace(node, h("p", { class: "quiet loading" }, app.t("loading")));
  try {
    replace(node, await make());
  } catch (error) {
    if (error.name !== "AbortError") replace(node, problem(app, error, again));
  } finally {
    node.removeAttribute("aria-busy");
  }
}

/** Ask before something that cannot be taken back; true when it is wanted. */
export function confirmed(app, { title, text, yes }) {
  return new Promise((resolve) => {
    let wanted = false;
    const end = (answer) => () => ((wanted = answer), dialog.close());
    const closed = () => (dialog.remove(), resolve(wanted));
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "confirm-title", onclose: closed },
      h("h2", { id: "confirm-title" }, title),
      h("p", null, text),
      h("div", { class: "actions" }, button(app.t("cancel"), end(false), "plain"), button(yes, end(true), "danger")),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A table that scrolls by itself where it is wider than the screen. Cells that are numbers stand at the right. */
export function table(caption, heads, rows) {
  const isNumber = (value) => value?.number !== undefined;
  const cell = (value) => h("td", { class: isNumber(value) && "number" }, value?.number ?? value);
  const head = (text, place) => h("th", { scope: "col", class: rows.some((row) => isNumber(row[place])) && "number" }, text);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      null,
      h("caption", { class: "hidden" }, caption),
      h("thead", null, h("tr", null, heads.map(head))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map(cell)))),
    ),
  );
}

/** A small image of a product, asked for when it is about to be seen; where keys are needed it is fetched with one. */
export function thumbnail(app, productId, imageId, description = "") {
  const path = address(app, `${productPath(productId)}/image`, { image_id: imageId });
  const image = h("img", { class: "thumbnail", alt: description, width: 128, height: 128, decoding: "async" });
  image.addEventListener("error", () => image.classList.add("no-image"));
  if (shown.has(path)) image.src = shown.get(path); // at once: a list that is drawn again does not flicker
  else {
    seen(image, async () => {
      image.src = recall("key") === null ? path : await fetched(path);
      image.onload = () => shown.set(path, image.src);
    });
  }
  return image;
}

/** Do something once when a node is about to be seen. */
export function seen(node, work) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((one) => one.isIntersecting)) return;
      observer.disconnect();
      Promise.resolve(work()).catch(() => node.classList.add("no-image"));
    },
    { rootMargin: "300px" },
  );
  observer.observe(node);
}

/** An address within the page of an image that was fetched with the key; the oldest of many are forgotten. */
function fetched(path) {
  if (!images.has(path)) {
    if (images.size >= REMEMBERED) {
      const [oldest, url] = images.entries().next().value;
      images.delete(oldest);
      shown.delete(oldest);
      url.then(URL.revokeObjectURL, () => null);
    }
    const url = apiBlob(path).then(URL.createObjectURL);
    url.catch(() => images.delete(path));
    images.set(path, url);
  }
  return images.get(path);
}
