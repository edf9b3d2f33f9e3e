// Where shoppers say what they want: words, an image (button, camera, drop, paste), and what the image counts.

import { h, replace } from "./dom.js";
import { t } from "./i18n.js";
import { imageAmong, prepared, productImage } from "./images.js";

/**
 * The search bar of a query, which it changes; `search()` is called when there is something to search for.
 *
 * @returns `{node, input, ended}`; `ended()` stops listening to the page.
 */
export function searchBar(query, search, notice) {
  const input = h("input", { type: "search", class: "words", id: "words", value: query.text, autocomplete: "off",
    enterkeyhint: "search", maxlength: 1000, "aria-label": t("search.label"), placeholder: t("search.placeholder"),
    "aria-keyshortcuts": "/" });
  let turns = 0;
  const file = fileInput("file", false);
  const camera = fileInput("camera", true);
  const extras = h("div", { class: "search-extras" });
  const drop = h("p", { class: "drop", "aria-hidden": "true" }, t("search.drop"));
  const icon = (name, label, target) => h("button", { type: "button", class: `icon ${name}`, "aria-label": label,
    title: label, onclick: () => target.click() });
  const form = h("form", { class: "search", role: "search", onsubmit: submitted },
    h("div", { class: "search-field" }, input,
      icon("photo", t("search.image"), file), icon("camera", t("search.camera"), camera),
      h("button", { class: "primary go" }, h("span", null, t("search.go")))),
    file, camera, extras, drop);

  function fileInput(id, capture) {
    return h("input", { type: "file", id, accept: "image/*", capture: capture && "environment", hidden: true,
      onchange: (event) => (take(event.target.files[0]), (event.target.value = "")) });
  }
  function submitted(event) {
    event.preventDefault();
    query.text = input.value.trim();
    query.spelling = true;
    search();
  }
  async function take(given) {
    if (!given) return;
    const turn = ++turns;
    const image = await prepared(given);
    if (turn !== turns) return; // a later one was taken, or the page left
    query.image = image;
    query.like = "";
    query.text = input.value.trim();
    draw();
    search();
  }
  function remove() {
    turns++;
    query.image = null;
    query.like = "";
    query.text = input.value.trim();
    draw();
    input.focus();
    search();
  }
  function draw() {
    const weighing = document.activeElement?.id === "weight";
    replace(extras, (query.image || query.like) && [chip(query, remove), query.text && slider(query, search)]);
    if (weighing) extras.querySelector("#weight")?.focus({ preventScroll: true });
  }
  function dropped(event) {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const image = imageAmong(event.dataTransfer);
    if (image) take(image);
    else notice(t("search.no_image"), "error");
  }
  function dragged(event) {
    const files = [...(event.dataTransfer?.types ?? [])].includes("Files");
    if (files) event.preventDefault();
    document.body.classList.toggle("dropping", files && event.type !== "dragleave");
  }
  function pasted(event) {
    const image = imageAmong(event.clipboardData);
    if (image) event.preventDefault();
    take(image);
  }
  const listeners = { dragover: dragged, dragleave: dragged, drop: dropped, paste: pasted };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
  draw();
  return {
    node: form,
    input,
    redraw: draw,
    ended() {
      turns++;
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
      document.body.classList.remove("dropping");
    },
  };
}

function chip(query, remove) {
  const label = t(query.like ? "search.like" : "search.with_image");
  const image = query.like ? productImage(query.like, "") : h("img", { alt: "" });
  if (query.image) {
    const address = URL.createObjectURL(query.image);
    image.onload = image.onerror = () => URL.revokeObjectURL(address);
    image.src = address;
  }
  return h("div", { class: "chip" }, image, h("span", null, label),
    h("button", { type: "button", class: "plain", "aria-label": t("search.remove_image"), onclick: remove }, "×"));
}

function slider(query, search) {
  const input = h("input", { type: "range", id: "weight", min: 0, max: 1, step: 0.1, value: query.weight,
    onchange: () => ((query.weight = Number(input.value)), search()) });
  return h("div", { class: "weight" }, h("label", { for: "weight" }, t("search.weight")),
    h("span", { "aria-hidden": "true" }, t("search.words")), input, h("span", { "aria-hidden": "true" }, t("search.picture")));
}
