// Upload of products: a file is read in the page, sent in parts, and what became of each line is told.

import { indexes } from "./api.js";
import { replace } from "./dom.js";
import { addWords } from "./i18n.js";
import { address, badge, button, fill, heading, moment, number, table } from "./parts.js";
import { baseName, guessed, namedImages, readProducts, sharedNames } from "./product_file.js";
import { Sending } from "./upload_sending.js";
import { MERCH_WORDS } from "./words_merch.js";
import { TOOL_WORDS } from "./words_tools.js";
import { writeCsv } from "./csv.js";

addWords(MERCH_WORDS);
addWords(TOOL_WORDS);

const SAMPLE = 5;
const LISTED = 500;
const KINDS = { succeeded: "good", failed: "bad", running: "warn", waiting: "plain" };

/** Show the page. */
export async function mount(root, app) {
  const { h, t } = app;
  const work = h("div", { class: "upload-work" });
  const tasks = h("section", { "aria-label": t("upload.tasks") });
  replace(root, heading(t("upload.title"), t("upload.lead")), dropZone(app, work, () => showTasks()), work, h("h2", { class: "part" }, t("upload.tasks")), tasks);
  const showTasks = () => fill(app, tasks, () => recent(app), showTasks);
  await showTasks();
}

function dropZone(app, work, sent) {
  const { h, t } = app;
  const input = h("input", { type: "file", id: "products", class: "hidden", accept: ".jsonl,.ndjson,.json,.csv,.tsv", onchange: () => input.files[0] && take(input.files[0]) });
  const take = (file) => ((input.value = ""), opened(app, work, file, sent));
  const over = (event) => (event.preventDefault(), zone.classList.add("over"));
  const out = () => zone.classList.remove("over");
  const drop = (event) => (event.preventDefault(), out(), event.dataTransfer.files[0] && opened(app, work, event.dataTransfer.files[0], sent, [...event.dataTransfer.files]));
  const zone = h(
    "div",
    { class: "file-drop", ondragover: over, ondragleave: out, ondrop: drop },
    input,
    h("p", null, h("label", { class: "as-button", for: "products" }, t("upload.choose")), h("span", { class: "quiet" }, ` ${t("upload.or_drop")}`)),
    h("p", { class: "quiet" }, t("upload.kinds")),
  );
  return zone;
}

async function opened(app, work, file, sent, dropped = []) {
  const { h, t } = app;
  replace(work, h("p", { class: "quiet loading" }, t("upload.reading", { name: file.name })));
  let read;
  try {
    read = await readProducts(file);
  } catch (error) {
    const words = error.key ? t(error.key, error.values) : error.message;
    replace(work, h("div", { class: "problem", role: "alert" }, h("p", null, h("strong", null, t("problem.title")), " ", words)));
    return;
  }
  const served = await indexes();
  const index = served.find((one) => one.name === app.index()) ?? served[0];
  const columns = Object.fromEntries((index?.columns ?? []).map((one) => [one.name, one.kind]));
  const images = new Map(dropped.filter((one) => one !== file).map((one) => [baseName(one.name), one]));
  replace(work, review(app, work, { file, read, index, columns, images, mapping: guessed(read.names, index?.source_columns), sent }));
}

/** What was read, before anything is sent: which column is what, the first rows, images that are still missing. */
function review(app, work, upload) {
  const { h, t } = app;
  const { read, mapping, columns, index } = upload;
  const missing = h("div");
  const unknown = h("p", { class: "hint", hidden: true });
  const go = button(t("upload.send", { count: number(app, read.rows.length), index: index?.name }), () => send(app, work, upload), "primary");
  const update = () => {
    replace(missing, imagesOf(app, upload, update));
    const taken = new Set([mapping.product_id, mapping.image, mapping.image_id, ...mapping.texts, "metadata"]);
    const others = read.names.filter((name) => !taken.has(name) && !(name in columns));
    unknown.hidden = !others.length;
    unknown.textContent = t("upload.unknown", { names: others.join(", ") });
    go.disabled = read.names.length > 0 && mapping.product_id === null;
  };
  const choose = (name) => {
    const option = (value, words) => h("option", { value: value ?? "", selected: value === mapping[name] }, words);
    const change = (event) => ((mapping[name] = event.target.value || null), update());
    return h("div", null, h("label", { for: `map-${name}` }, t(`upload.${name}`)),
      h("select", { id: `map-${name}`, onchange: change }, option(null, t("upload.no_column")), read.names.map((one) => option(one, one))));
  };
  const text = (name) => {
    const toggle = () => ((mapping.texts = mapping.texts.includes(name) ? mapping.texts.filter((one) => one !== name) : [...mapping.texts, name]), update());
    return h("label", { class: "check" }, h("input", { type: "checkbox", checked: mapping.texts.includes(name), onchange: toggle }), name);
  };
  const short = (value) => {
    const text = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
    return text.startsWith("data:") ? `${text.slice(0, 18)}…` : text.slice(0, 60);
  };
  const sample = read.rows.slice(0, SAMPLE).map((row) => [{ number: row.line }, ...read.names.map((name) => short(row.value?.[name]))]);
  update();
  return h(
    "section",
    { class: "box review" },
    h("h2", null, upload.file.name),
    h("p", { class: "quiet" }, t("upload.read", { count: number(app, read.rows.length) })),
    h("div", { class: "pair" }, choose("product_id"), choose("image"), choose("image_id")),
    h("fieldset", null, h("legend", null, t("upload.texts")), h("div", { class: "checks" }, read.names.map(text))),
    missing,
    unknown,
    read.names.length > 0 && table(t("upload.sample"), [t("upload.line"), ...read.names], sample),
    h("div", { class: "buttons" }, go, button(t("cancel"), () => replace(work), "plain")),
  );
}

/** Images that are named by their files: chosen beside the product file. */
function imagesOf(app, upload, update) {
  const { h, t } = app;
  const named = namedImages(upload.read.rows, upload.mapping.image);
  if (!named.length) return null;
  const shared = sharedNames(named);
  for (const name of shared) upload.images.delete(name);
  const lacking = named.filter((name) => !upload.images.has(baseName(name)));
  const input = h("input", {
    type: "file", id: "images", accept: "image/*", multiple: true,
    onchange: () => {
      for (const one of input.files) upload.images.set(baseName(one.name), one);
      update();
    },
  });
  const words = lacking.length ? t("upload.lacking", { count: number(app, lacking.length), first: lacking[0] }) : t("upload.have_images", { count: number(app, named.length) });
  return h("div", { class: "field" }, h("label", { for: "images" }, t("upload.images")), input, h("p", { class: lacking.length ? "hint" : "quiet", role: "status" }, words),
    shared.length > 0 && h("p", { class: "hint" }, t("upload.shared", { names: shared.slice(0, SAMPLE).join(", ") })));
}

async function send(app, work, upload) {
  const { h, t } = app;
  const sending = new Sending(app, upload);
  const bar = h("progress", { max: sending.total, value: 0, "aria-label": t("upload.progress") });
  const said = h("p", { role: "status" });
  const trouble = h("div");
  const results = h("div", { class: "outcome" });
  const section = h("section", { class: "box review" }, h("h2", null, upload.file.name), bar, said, trouble, results);
  replace(work, section);
  const leave = (event) => (sending.stopped && !section.isConnected ? null : event.preventDefault());
  const told = (words, kind) => {
    window.removeEventListener("beforeunload", leave); // nobody sees this view any more
    app.notice(`${upload.file.name}: ${words}`, kind);
  };
  window.addEventListener("beforeunload", leave);
  sending.onProgress = () => {
    bar.value = sending.done;
    const values = { done: number(app, sending.done), total: number(app, sending.total) };
    said.textContent = [t(sending.sent < sending.total ? "upload.sending" : "upload.working", values), sending.note].filter(Boolean).join(" ");
  };
  const go = async () => {
    replace(trouble);
    sending.stopped = false;
    try {
      await sending.run();
    } catch (error) {
      sending.stopped = true;
      const stopped = t("upload.stopped", { sent: number(app, sending.sent), total: number(app, sending.total) });
      if (!section.isConnected) return told(`${stopped} ${error.message}`, "error");
      replace(trouble, h("div", { class: "problem", role: "alert" }, h("p", null, h("strong", null, stopped), " ", error.message), button(t("upload.resume"), go, "primary")));
      return;
    }
    if (!section.isConnected) return told([t("upload.done", { total: number(app, sending.total) }), ...statuses(app, sending.counts)].join(" "), sending.errors.length ? "error" : "success");
    window.removeEventListener("beforeunload", leave);
    said.textContent = t("upload.done", { total: number(app, sending.total) });
    replace(results, outcome(app, sending, upload.file.name));
    upload.sent();
  };
  await go();
}

function outcome(app, sending, name) {
  const { h, t } = app;
  const { counts, errors } = sending;
  const kind = { rejected: "bad", added: "good", replaced: "good", updated: "good" };
  const words = statuses(app, counts);
  const badges = Object.keys(counts).map((status, place) => badge(kind[status] ?? "plain", words[place]));
  if (!errors.length) return h("p", { class: "row" }, badges);
  const heads = [t("upload.line"), t("upload.product"), t("upload.reason")];
  const rows = errors.slice(0, LISTED).map((one) => [{ number: one.line }, one.product ?? "", one.reason]);
  const save = () => download(`${name.replace(/\.\w+$/, "")}-errors.csv`, writeCsv([["line", "product_id", "reason"], ...errors.map((one) => [one.line, one.product, one.reason])]));
  return [
    h("p", { class: "row" }, badges),
    h("h3", null, t("upload.errors")),
    h("p", { class: "quiet" }, t("upload.errors_lead")),
    table(t("upload.errors"), heads, rows),
    errors.length > LISTED && h("p", { class: "quiet" }, t("upload.listed", { count: LISTED, total: number(app, errors.length) })),
    h("div", { class: "buttons" }, button(t("upload.download"), save)),
  ];
}

/** How many lines came to each end, in words. */
function statuses(app, counts) {
  return Object.entries(counts).map(([status, count]) => app.t(`upload.status.${status}`, { count: number(app, count) }));
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\uFEFF", text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The last writes of the index, whoever sent them. */
async function recent(app) {
  const { h, t } = app;
  const { tasks } = await app.api("GET", address(app, "v1/tasks", { limit: 10 }));
  if (!tasks.length) return h("p", { class: "quiet" }, t("upload.no_tasks"));
  const heads = [t("upload.when"), t("upload.what"), t("upload.state"), t("upload.lines"), t("upload.rejected")];
  const what = (task) => t(`task.${task.kind}`);
  const state = (task) => h("span", null, badge(KINDS[task.state], t(`task.${task.state}`)), task.error && h("span", { class: "quiet" }, ` ${task.error}`), task.note && h("span", { class: "quiet" }, ` ${task.note}`));
  const lines = (task) => (task.total === null ? "" : { number: `${number(app, task.done)} / ${number(app, task.total)}` });
  return table(t("upload.tasks"), heads, tasks.map((task) => [moment(app, task.created_at), what(task), state(task), lines(task), { number: number(app, task.error_count) }]));
}
