// Products of a file that somebody chose: read in the page, as rows of names and values.

import { readCsv } from "./csv.js";

const GUESSES = {
  product_id: /^(product[_ ]?id|id|sku|item[_ ]?id|商品编号|编号)$/i,
  image: /^(image|picture|photo|image[_ ]?(path|file|name)|图片)$/i,
  image_id: /^(image[_ ]?id|picture[_ ]?id)$/i,
  texts: /^(texts?|titles?|name|description|标题|名称)$/i,
};
const INLINE = /^data:|^[a-z][a-z0-9+.-]*:\/\//i;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const PATH = /^[^\n]{1,300}\.(jpe?g|png|webp|gif|bmp|tiff?)$/i;

/** A file that cannot be read, with the place. */
export class FileError extends Error {
  constructor(key, values = {}) {
    super(key);
    Object.assign(this, { key, values });
  }
}

/**
 * Read a file: .csv, .json (a list, or {"products": [...]}), and .jsonl or .ndjson, with a product a line.
 *
 * @returns {rows: [{line, value} or {line, raw}], names: of the columns, in their order}; `raw` is a line that is no
 *   JSON object, which the service refuses with its reason.
 * @throws FileError
 */
export async function readProducts(file) {
  const text = await textOf(file);
  const kind = file.name.toLowerCase().split(".").pop();
  const read = { csv: csvRows, tsv: csvRows, json: jsonRows, jsonl: lineRows, ndjson: lineRows }[kind];
  if (!read) throw new FileError("upload.kind", { name: file.name });
  const rows = read(text);
  if (!rows.length) throw new FileError("upload.empty", { name: file.name });
  const names = new Set();
  for (const row of rows) for (const name of Object.keys(row.value ?? {})) names.add(name);
  return { rows, names: [...names] };
}

/** The text of a file: UTF-8, or what spreadsheets in Chinese write. */
async function textOf(file) {
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("gb18030").decode(bytes);
  }
}

/** JSON whose integers that a number of this language would round, such as long ids, are texts. */
function exact(text) {
  const rounded = (token) => /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
  return text.replace(TOKENS, (token) => (rounded(token) ? `"${token}"` : token));
}

function csvRows(text) {
  let read;
  try {
    read = readCsv(text);
  } catch (error) {
    throw new FileError("upload.quote", { line: error.line });
  }
  const twice = read.heads.find((head, place) => read.heads.indexOf(head) !== place);
  if (twice !== undefined) throw new FileError("upload.twice", { name: twice });
  const cells = (row) => read.heads.map((head, place) => [head, row.cells[place] ?? ""]).filter(([head, cell]) => head && cell !== "");
  return read.rows.map((row) => ({ line: row.line, value: Object.fromEntries(cells(row)) }));
}

function jsonRows(text) {
  let value;
  try {
    value = JSON.parse(exact(text));
  } catch (error) {
    throw new FileError("upload.no_json", { reason: error.message });
  }
  const list = Array.isArray(value) ? value : value?.products;
  if (!Array.isArray(list)) throw new FileError("upload.no_list");
  return list.map((one, place) => (isObject(one) ? { line: place + 1, value: one } : { line: place + 1, raw: JSON.stringify(one) }));
}

function lineRows(text) {
  const rows = [];
  text.replace(/^\uFEFF/, "").split("\n").forEach((line, place) => {
    if (!line.trim()) return;
    let value = null;
    try {
      value = JSON.parse(exact(line));
    } catch {
      // the service says what is wrong with it
    }
    rows.push(isObject(value) ? { line: place + 1, value } : { line: place + 1, raw: line.trim() });
  });
  return rows;
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Which columns have the id, the image and the texts: by the API's names, those of the index's source, or likely ones. */
export function guessed(names, source = {}) {
  const first = (name) => [name, source[name]].find((one) => names.includes(one)) ?? names.find((one) => GUESSES[name].test(one)) ?? null;
  const known = names.filter((one) => one === "texts" || source.texts?.includes(one));
  const texts = known.length ? known : names.filter((one) => GUESSES.texts.test(one));
  return { product_id: first("product_id"), image: first("image"), image_id: first("image_id"), texts };
}

/** File names of images that rows name, and that are not in the row itself. */
export function namedImages(rows, column) {
  const found = rows.map((row) => row.value?.[column]).filter((value) => typeof value === "string");
  return found.filter((value) => !INLINE.test(value) && PATH.test(value.trim()));
}

/** Names, as of `baseName`, that several different paths share: a file of that name could be any of theirs. */
export function sharedNames(paths) {
  const first = new Map();
  const shared = new Set();
  for (const path of paths.map((one) => one.trim())) {
    const name = baseName(path);
    if (first.has(name) && first.get(name) !== path) shared.add(name);
    else first.set(name, path);
  }
  return [...shared];
}

/**
 * A row as a line of the API: its id, image and texts by the API's names, other columns as they are.
 *
 * @param mapping of `guessed`.
 * @param columns name -> kind, of the index.
 * @param images base name in small letters -> File, those chosen beside the product file.
 * @returns a text without its end of line.
 */
export async function lineOf(row, mapping, columns, images) {
  if (row.raw !== undefined) return row.raw.replace(/[\r\n]+/g, " ");
  const line = {};
  const taken = new Set([mapping.product_id, mapping.image, mapping.image_id, ...mapping.texts]);
  for (const name of ["product_id", "image_id", "image"]) if (mapping[name] && row.value[mapping[name]] !== undefined) line[name] = row.value[mapping[name]];
  const texts = mapping.texts.flatMap((name) => row.value[name] ?? []).filter((text) => text !== "");
  if (texts.length) line.texts = texts;
  for (const [name, value] of Object.entries(row.value)) {
    if (!taken.has(name) || (name in columns && !(name in line) && name !== "texts")) line[name] = typed(value, columns[name]);
  }
  if (typeof line.image === "string") {
    const file = images.get(baseName(line.image));
    if (file && !INLINE.test(line.image)) line.image = await dataUri(file);
  }
  return JSON.stringify(line);
}

/** The name of a file without its folders, in small letters: "img/A.JPG" is "a.jpg". */
export function baseName(path) {
  return path.trim().split(/[\\/]/).pop().toLowerCase();
}

/** A cell of a column of numbers as a number where it is one; else as it is, for the service to judge. */
function typed(value, kind) {
  if (typeof value !== "string") return value;
  if (["integer", "number"].includes(kind) && /^\s*-?\d+(\.\d+)?\s*$/.test(value)) {
    const rounded = kind === "integer" && Math.abs(Number(value)) > Number.MAX_SAFE_INTEGER;
    return rounded ? value : Number(value);
  }
  if (kind === "boolean" && /^\s*(true|false)\s*$/i.test(value)) return /true/i.test(value);
  return value;
}

function dataUri(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
