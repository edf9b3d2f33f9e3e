// The bar at the top: navigation, index, language.

import { chosenIndex, indexes } from "./api.js";
import { h, replace } from "./dom.js";
import { language, setLanguage, t } from "./i18n.js";

const ENTRIES = ["shop", "topics", "changes", "upload", "operations"];
let drawn = "shop";
let names = [];

/** Draw it; `page` is that of the navigation that is shown, `changed` is called with a chosen index, or with none. */
export function drawHeader(root, page, changed) {
  drawn = page ?? drawn;
  const entry = (name) =>
    h(
      "li",
      null,
      h("a", { href: name === "shop" ? "#/" : `#/${name}`, "aria-current": name === drawn && "page" }, t(`nav.${name}`)),
    );
  const other = language() === "zh" ? "en" : "zh";
  const toggle = () => (setLanguage(other), changed());
  replace(
    root,
    h("a", { class: "brand", href: "#/", "aria-label": t("nav.home") }, h("img", { src: "web/icon.svg", alt: "" }), "InterBERT"),
    h("nav", { "aria-label": t("nav.label") }, h("ul", null, ENTRIES.map(entry))),
    h(
      "div",
      { class: "settings" },
      names.length > 1 && indexSelect(changed),
      h("button", { type: "button", class: "language plain", lang: other, onclick: toggle }, t("language.other")),
    ),
  );
  if (!names.length) loadNames(root, changed);
}

function indexSelect(changed) {
  const option = (name) => h("option", { value: name, selected: name === chosenIndex() }, name);
  return h("select", { "aria-label": t("index"), onchange: (event) => changed(event.target.value) }, names.map(option));
}

let asked = false;

async function loadNames(root, changed) {
  if (asked) return;
  asked = true;
  try {
    names = (await indexes()).map((one) => one.name);
    drawHeader(root, undefined, changed);
  } catch {
    asked = false; // the page says why
  }
}
