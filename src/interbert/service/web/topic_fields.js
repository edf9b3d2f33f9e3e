// The fields of a topic.

import { h, replace } from "./dom.js";
import { button, percent } from "./parts.js";

const WORDINGS = 20;
const MOST = 200;

/**
 * The fields; `node` to show, and `fail(error)`: say what the service refused at its field, true when there is one.
 * `canJudge(false)`: the index's model gives no probabilities, so there is no threshold to set.
 */
export function topicFields(app, draft, columns) {
  const wrong = new Map();
  const field = (name, label, hint, ...inputs) => {
    const error = h("p", { class: "field-error", id: `error-${name}`, "aria-live": "polite" });
    wrong.set(name, error);
    return h("div", { class: "field" }, label, inputs, hint && h("p", { class: "quiet", id: `hint-${name}` }, hint), error);
  };
  const threshold = thresholdField(app, draft, field);
  const groups = [
    wordings(app, draft, field),
    filter(app, draft, columns, field),
    size(app, draft, field),
    threshold.node,
    diversity(app, draft, columns, field),
    products(app, draft, field, "pinned"),
    products(app, draft, field, "hidden"),
    dates(app, draft, field),
    !draft.saved && identifier(app, draft, field),
  ];
  return {
    node: h("div", { class: "fields" }, groups),
    canJudge: threshold.canJudge,
    fail(error) {
      for (const one of wrong.values()) one.textContent = "";
      const name = error && (error.code === "bad_filter" ? "where" : /^\w+/.exec(error.where ?? "")?.[0]);
      const place = wrong.get({ valid_to: "valid_from", body: "pinned", diversify_by: "diversity" }[name] ?? name);
      if (place) place.textContent = error.message;
      return Boolean(place);
    },
  };
}

/** Draw again whenever other hands than the field's own change one of its values: another draft was taken. */
function follow(draft, names, draw) {
  draft.onChange((changed) => changed.some((name) => names.includes(name)) && draw());
}

function wordings(app, draft, field) {
  const { t } = app;
  const rows = h("div", { class: "wordings" });
  const change = (place, text) => draft.set({ texts: draft.values.texts.map((one, other) => (other === place ? text : one)) });
  const draw = () => {
    const { texts } = draft.values;
    if (rows.children.length === texts.length && [...rows.children].every((row, place) => row.firstChild.value === texts[place])) return;
    replace(rows, texts.map((text, place) => wording(text, place, texts.length > 1)));
  };
  const wording = (text, place, removable) =>
    h(
      "div",
      { class: "row" },
      h("input", {
        value: text, maxlength: 1000, "aria-label": t("fields.wording", { number: place + 1 }), placeholder: t("fields.wording_example"),
        oninput: (event) => change(place, event.target.value),
      }),
      removable && button("×", () => draft.set({ texts: draft.values.texts.filter((_, other) => other !== place) }), "plain", {
        "aria-label": t("fields.remove_wording", { number: place + 1 }),
      }),
    );
  const add = button(t("fields.add_wording"), () => {
    if (draft.values.texts.length < WORDINGS) draft.set({ texts: [...draft.values.texts, ""] });
    rows.lastChild.firstChild.focus();
  }, "plain compact");
  follow(draft, ["texts"], draw);
  draw();
  return field("texts", h("p", { class: "label" }, t("fields.texts")), t("fields.texts_hint"), rows, add);
}

function filter(app, draft, columns, field) {
  const { t } = app;
  const input = h("textarea", {
    id: "where", rows: 2, spellcheck: "false", value: draft.values.where ?? "", placeholder: "stock > 0", "aria-describedby": "hint-where error-where",
    oninput: () => draft.set({ where: input.value || null }),
  });
  follow(draft, ["where"], () => input.value !== (draft.values.where ?? "") && (input.value = draft.values.where ?? ""));
  const names = columns.map((one) => `${one.name} (${t(`kind.${one.kind}`)})`).join(", ");
  return field("where", h("label", { for: "where" }, t("fields.where")), names && t("fields.columns", { names }), input);
}

function size(app, draft, field) {
  const input = h("input", {
    id: "top_k", type: "number", min: 1, max: MOST, value: draft.values.top_k,
    oninput: () => input.checkValidity() && input.value && draft.set({ top_k: Number(input.value) }),
  });
  follow(draft, ["top_k"], () => Number(input.value) !== draft.values.top_k && (input.value = draft.values.top_k));
  return field("top_k", h("label", { for: "top_k" }, app.t("fields.top_k")), null, input);
}

/** A slider with a box that leaves the choice to the service. */
function slider(app, draft, name, { step, standard, automatic }) {
  const output = h("output", { for: name });
  const input = h("input", {
    id: name, type: "range", min: 0, max: 1, step, "aria-describedby": `hint-${name}`,
    oninput: () => draft.set({ [name]: Number(input.value) }),
  });
  const box = h("input", { type: "checkbox", id: `${name}-auto`, onchange: () => draft.set({ [name]: box.checked ? null : Number(input.value) }) });
  const draw = () => {
    const value = draft.values[name];
    box.checked = value === null;
    input.classList.toggle("automatic", value === null);
    input.value = value ?? standard;
    output.textContent = value === null ? app.t("fields.automatic") : percent(app, value);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  follow(draft, [name], draw);
  draw();
  return { input, box, row: h("div", { class: "slider" }, input, output), check: h("label", { class: "check", for: `${name}-auto` }, box, automatic) };
}

function thresholdField(app, draft, field) {
  const { t } = app;
  const one = slider(app, draft, "min_probability", { step: 0.01, standard: 0.5, automatic: t("fields.threshold_auto") });
  const hint = t("fields.threshold_hint");
  const node = field("min_probability", h("label", { for: "min_probability" }, t("fields.threshold")), hint, one.row, one.check);
  return {
    node,
    canJudge(can) {
      const locked = !can && draft.values.min_probability === null;
      one.input.disabled = locked;
      one.box.disabled = locked;
      node.querySelector(".quiet").textContent = can ? hint : t("fields.untaught");
    },
  };
}

function diversity(app, draft, columns, field) {
  const { t } = app;
  const one = slider(app, draft, "diversity", { step: 0.05, standard: 0.2, automatic: t("fields.diversity_auto") });
  const boxes = h("div", { class: "checks" });
  const toggle = (name) => () => {
    const chosen = draft.values.diversify_by;
    draft.set({ diversify_by: chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name] });
  };
  const names = () => [...new Set([...columns.filter((column) => column.kind === "text").map((column) => column.name), ...draft.values.diversify_by])];
  const draw = () =>
    replace(boxes, names().map((name) =>
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: draft.values.diversify_by.includes(name), onchange: toggle(name) }), name)));
  const drawn = () => boxes.contains(document.activeElement) || draw(); // a box that has the focus shows its value already
  follow(draft, ["diversify_by"], drawn);
  draw();
  const group = h("fieldset", null, h("legend", null, t("fields.diversify_by")), boxes);
  return field("diversity", h("label", { for: "diversity" }, t("fields.diversity")), null, one.row, one.check, names().length > 0 && group);
}

/** Pinned products, which have an order, or hidden ones. */
function products(app, draft, field, name) {
  const { t } = app;
  const rows = h("ol", { class: `products ${name}` });
  const act = (sign, label, work, disabled = false) => button(sign, work, "plain compact", { "aria-label": label, title: label, disabled });
  const row = (product, place, all) =>
    h(
      "li",
      { class: "row" },
      h("span", { class: "id" }, product),
      name === "pinned" && act("↑", t("cards.up", { product }), () => draft.move(product, -1), place === 0),
      name === "pinned" && act("↓", t("cards.down", { product }), () => draft.move(product, 1), place === all.length - 1),
      act("×", t(`fields.remove_${name}`, { product }), () => (name === "pinned" ? draft.pin(product) : draft.hide(product))),
    );
  const draw = () => {
    const focused = rows.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    replace(rows, draft.values[name].map(row));
    if (focused === null) return;
    const same = [...rows.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === focused);
    (same?.disabled ? same.parentNode.querySelector("button:enabled") : same)?.focus({ preventScroll: true });
  };
  const input = h("input", { id: name, maxlength: 200, placeholder: t("fields.product_id"), onkeydown: (event) => event.key === "Enter" && (event.preventDefault(), add()) });
  const add = () => {
    const product = input.value.trim();
    if (!product || draft.values[name].includes(product)) return;
    input.value = "";
    if (name === "pinned") draft.pin(product);
    else draft.hide(product);
  };
  follow(draft, ["pinned", "hidden"], draw);
  draw();
  const more = h("div", { class: "row" }, input, button(t("fields.add"), add, "compact", { "aria-label": t(`fields.add_${name}`) }));
  return field(name, h("label", { for: name }, t(`fields.${name}`)), null, rows, more);
}

function dates(app, draft, field) {
  const { t } = app;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const one = (name) => {
    const input = h("input", { id: name, type: "datetime-local", onchange: () => draft.set({ [name]: input.value ? new Date(input.value).toISOString() : null }) });
    const draw = () => (input.value = local(draft.values[name]));
    follow(draft, [name], draw);
    draw();
    return h("div", null, h("label", { for: name }, t(`fields.${name}`)), input);
  };
  return field("valid_from", null, t("fields.zone", { zone }), h("div", { class: "pair" }, one("valid_from"), one("valid_to")));
}

/** A moment as an input of local time has it. */
function local(text) {
  if (!text) return "";
  const moment = new Date(text);
  return new Date(moment - 60_000 * moment.getTimezoneOffset()).toISOString().slice(0, 16);
}

function identifier(app, draft, field) {
  const { t } = app;
  const input = h("input", { id: "topic-id", maxlength: 100, value: draft.id, placeholder: "summer-dresses", oninput: () => (draft.id = input.value.trim()) });
  return field("id", h("label", { for: "topic-id" }, t("fields.id")), t("fields.id_hint"), input);
}
