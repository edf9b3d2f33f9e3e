// The editor of a topic: its fields at one side, the page that comes of them at the other.

import { chosenColumns } from "./api.js";
import { replace } from "./dom.js";
import { address, badge, button, confirmed, fill, moment, problem } from "./parts.js";
import { Draft } from "./topic_draft.js";
import { topicFields } from "./topic_fields.js";
import { topicPreview } from "./topic_preview.js";
import { stateOf } from "./topics.js";

/** Edit a topic, or make one when `id` is null. */
export async function editTopic(root, app, id) {
  const frame = app.h("div", { class: "topic-editor" });
  replace(root, frame);
  let cleanup = null;
  const open = () =>
    fill(app, frame, async () => {
      const read = id === null ? null : app.api("GET", address(app, `v1/topics/${encodeURIComponent(id)}`));
      const [saved, columns] = await Promise.all([read, chosenColumns()]);
      cleanup?.();
      const [parts, end] = editor(app, new Draft(app, saved), columns);
      cleanup = end;
      return parts;
    }, open);
  await open();
  return () => cleanup?.();
}

function editor(app, draft, columns) {
  const { h, t } = app;
  const head = h("header", { class: "editor-head" });
  const said = h("div", { class: "said" });
  const fields = topicFields(app, draft, columns);
  const preview = topicPreview(app, draft, fields);
  const draw = () => replace(head, headOf(app, draft, said));
  const leave = (event) => draft.changed() && event.preventDefault();
  draft.onChange(draw);
  draw();
  window.addEventListener("beforeunload", leave);
  if (draft.changed() && draft.saved) replace(said, h("p", { class: "hint" }, t("editor.restored")));
  const end = () => (window.removeEventListener("beforeunload", leave), preview.end());
  const form = h("form", { class: "editor-form", onsubmit: (event) => (event.preventDefault(), save(app, draft, said, {})) }, fields.node);
  return [[head, said, h("div", { class: "editor-body" }, form, preview.node)], end];
}

function headOf(app, draft, said) {
  const { h, t } = app;
  const { saved, values } = draft;
  const kinds = { draft: "plain", published: "good", scheduled: "warn", ended: "bad" };
  const state = saved ? stateOf(saved) : "new";
  const title = values.texts.find((text) => text.trim()) ?? t("topics.new");
  const publish = saved?.published
    ? button(t("editor.unpublish"), () => save(app, draft, said, { published: false }))
    : button(t("editor.publish"), () => save(app, draft, said, { published: true }), "primary");
  const keep = button(t(saved ? "editor.save" : "editor.save_draft"), () => save(app, draft, said, {}), saved?.published ? "primary" : "", {
    disabled: !draft.changed(),
  });
  return [
    h("p", { class: "crumb" }, h("a", { href: "#/topics" }, `← ${t("nav.topics")}`)),
    h("h1", null, title),
    h(
      "p",
      { class: "row" },
      badge(kinds[state] ?? "plain", t(`state.${state}`)),
      saved && h("span", { class: "quiet" }, t("topics.saved", { id: saved.id, revision: saved.revision, moment: moment(app, saved.updated_at) })),
      draft.changed() && badge("warn", t("editor.unsaved")),
    ),
    h(
      "div",
      { class: "buttons" },
      keep,
      publish,
      saved && draft.changed() && button(t("editor.revert"), () => draft.take(saved), "plain"),
      saved && button(t("editor.delete"), () => remove(app, draft, said), "plain danger"),
    ),
  ];
}

async function save(app, draft, said, changes, over) {
  const made = draft.saved === null;
  replace(said);
  try {
    if (!(await draft.save(changes, over))) return;
    const key = "published" in changes ? (changes.published ? "editor.is_published" : "editor.is_unpublished") : "editor.is_saved";
    app.notice(app.t(key), "success");
    if (made) app.navigate(`#/topics/${encodeURIComponent(draft.id)}`);
  } catch (error) {
    const conflict = error.code === "conflict" && !made;
    replace(said, conflict ? await overtaken(app, draft, said, changes) : problem(app, error, () => save(app, draft, said, changes, over)));
    said.scrollIntoView({ block: "nearest" });
  }
}

/** Somebody saved or deleted the topic meanwhile: what the reader can do about it. */
async function overtaken(app, draft, said, changes) {
  const { h, t } = app;
  let theirs = null;
  try {
    theirs = await app.api("GET", address(app, draft.path()));
  } catch (error) {
    if (error.code !== "not_found") return problem(app, error, () => save(app, draft, said, changes));
  }
  const values = { mine: draft.revision, theirs: theirs?.revision, moment: theirs && moment(app, theirs.updated_at) };
  const take = () => (theirs ? draft.take(theirs) : (draft.take(draft.saved), app.navigate("#/topics")), replace(said));
  const over = () => save(app, draft, said, changes, theirs?.revision ?? 0);
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", null, h("strong", null, t("conflict.title")), " ", t(theirs ? "conflict.changed" : "conflict.deleted", values)),
    theirs && h("p", { class: "quiet" }, t("conflict.theirs", { texts: theirs.texts.join(" · ") })),
    h("div", { class: "buttons" }, button(t(theirs ? "conflict.take" : "conflict.leave"), take), button(t("conflict.over"), over, "danger")),
  );
}

async function remove(app, draft, said) {
  const { t } = app;
  const title = t("delete.title", { title: draft.saved.texts[0] });
  if (!(await confirmed(app, { title, text: t("delete.text"), yes: t("editor.delete") }))) return;
  try {
    await draft.remove();
    app.notice(t("delete.done"), "success");
    app.navigate("#/topics");
  } catch (error) {
    const again = () => remove(app, draft, said);
    replace(said, error.code === "conflict" ? await overtaken(app, draft, said, {}) : problem(app, error, again));
  }
}
