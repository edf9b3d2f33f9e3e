// A topic while it is edited: its values, what of them is not saved yet, and what the API takes.

import { address } from "./parts.js";

const FIELDS = [
  "texts", "where", "top_k", "min_probability", "diversity", "diversify_by", "pinned", "hidden", "valid_from", "valid_to", "published",
];
const EMPTY = {
  texts: [""], where: null, top_k: 20, min_probability: null, diversity: null, diversify_by: [], pinned: [], hidden: [],
  valid_from: null, valid_to: null, published: false,
};
const left = new Map();

/** Editing one topic; what was typed survives a change of language or a look at another page of this tab. */
export class Draft {
  constructor(app, saved) {
    this.app = app;
    this.saved = saved;
    this.name = `${app.index() ?? ""}/${saved?.id ?? ""}`;
    this.listeners = [];
    this.saving = null;
    this.id = saved?.id ?? "";
    this.values = structuredClone(left.get(this.name)?.values ?? picked(saved ?? EMPTY));
    this.revision = left.get(this.name)?.revision ?? saved?.revision ?? 0;
  }

  /** Call a function with the draft's changed fields after each change. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /** Change fields. */
  set(changes) {
    Object.assign(this.values, changes);
    if (this.changed()) left.set(this.name, { values: structuredClone(this.values), revision: this.revision });
    else left.delete(this.name);
    for (const listener of this.listeners) listener(Object.keys(changes));
  }

  /** Whether something is not saved. */
  changed() {
    return JSON.stringify(this.values) !== JSON.stringify(picked(this.saved ?? EMPTY));
  }

  /** The topic as the API takes it; wordings that are empty are none. */
  body(changes = {}) {
    const values = { ...this.values, ...changes };
    const texts = values.texts.map((text) => text.trim()).filter(Boolean);
    return { ...values, texts, where: values.where?.trim() || null };
  }

  /**
   * Save, after what is being saved already; a topic that somebody changed meanwhile is a conflict.
   *
   * @param changes of fields, such as `{published: true}`.
   * @param over the revision to save over, when it is another than the one that was read.
   * @returns the topic as it is saved; null where this very save is under way: a button was pressed twice.
   */
  async save(changes, over) {
    const asked = JSON.stringify([this.body(changes), over]);
    if (this.saving?.asked === asked) return null;
    const before = this.saving?.done.catch(() => null); // its caller says why it failed
    const saving = { asked, done: Promise.resolve(before).then(() => this.send(changes, over)) };
    this.saving = saving;
    try {
      return await saving.done;
    } finally {
      if (this.saving === saving) this.saving = null;
    }
  }

  async send(changes, over = this.revision) {
    const { app } = this;
    const body = this.body(changes);
    const sent = structuredClone(this.values);
    const made = this.saved === null;
    const saved = made
      ? await app.api("POST", address(app, "v1/topics"), { ...body, ...(this.id ? { id: this.id } : {}) })
      : await app.api("PUT", address(app, this.path()), { ...body, expected_revision: over });
    const typed = FIELDS.filter((name) => JSON.stringify(this.values[name]) !== JSON.stringify(sent[name]));
    this.take(saved, Object.fromEntries(typed.map((name) => [name, this.values[name]])));
    return saved;
  }

  /** Delete the topic as it was read. */
  async remove() {
    await this.app.api("DELETE", address(this.app, this.path()), undefined, { headers: { "If-Match": `"${this.revision}"` } });
    left.delete(this.name);
  }

  /** Show what is saved, and forget what is not, but for `kept`: fields that were changed while it was on its way. */
  take(saved, kept = {}) {
    left.delete(this.name);
    this.saved = saved;
    this.id = saved.id;
    this.name = `${this.app.index() ?? ""}/${saved.id}`;
    this.revision = saved.revision;
    this.values = structuredClone({ ...picked(saved), ...kept });
    if (this.changed()) left.set(this.name, { values: structuredClone(this.values), revision: this.revision });
    else left.delete(this.name);
    for (const listener of this.listeners) listener(FIELDS);
  }

  path() {
    return `v1/topics/${encodeURIComponent(this.id)}`;
  }

  /** Put a product at the end of the pinned ones, or take it from them. */
  pin(product) {
    const pinned = this.values.pinned.includes(product)
      ? this.values.pinned.filter((one) => one !== product)
      : [...this.values.pinned, product];
    this.set({ pinned, hidden: this.values.hidden.filter((one) => one !== product) });
  }

  /** Hide a product, or show it again. */
  hide(product) {
    const hidden = this.values.hidden.includes(product)
      ? this.values.hidden.filter((one) => one !== product)
      : [...this.values.hidden, product];
    this.set({ hidden, pinned: this.values.pinned.filter((one) => one !== product) });
  }

  /** Move a pinned product by so many places. */
  move(product, places) {
    const pinned = [...this.values.pinned];
    const from = pinned.indexOf(product);
    const to = Math.min(Math.max(from + places, 0), pinned.length - 1);
    pinned.splice(to, 0, ...pinned.splice(from, 1));
    this.set({ pinned });
  }
}

function picked(topic) {
  return Object.fromEntries(FIELDS.map((name) => [name, topic[name]]));
}
