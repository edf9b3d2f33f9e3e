// A search of the shop: in the address of the page, and as a request.

const PAGE_SIZE = 20;

/** A search without anything in it. `image` is a Blob, `like` the id of a product that results should look like. */
export function emptyQuery() {
  return { text: "", image: null, like: "", weight: 0.5, chosen: {}, ranges: {}, sort: "", spelling: true };
}

/** Whether there is anything to search for. */
export function hasParts(query) {
  return Boolean(query.text || query.image || query.like);
}

/** The search of an address; an image is not part of it, so the one given is taken. */
export function queryOf(params, image) {
  const query = emptyQuery();
  query.text = params.get("q") ?? "";
  query.like = params.get("like") ?? "";
  query.image = params.get("image") && !query.like ? image : null;
  query.weight = Math.min(1, Math.max(0, Number(params.get("weight") ?? 0.5) || 0));
  query.sort = params.get("sort") ?? "";
  query.spelling = params.get("spelling") !== "no";
  for (const [name, value] of params) {
    if (name.startsWith("is.")) (query.chosen[name.slice(3)] ??= []).push(value);
    if (name.startsWith("in.")) query.ranges[name.slice(3)] = value.split("..").slice(0, 2);
  }
  return query;
}

/** The address of a search; `imageNumber` tells images apart, which no address can hold. */
export function hashOf(query, imageNumber) {
  const params = new URLSearchParams();
  if (query.text) params.set("q", query.text);
  if (query.like) params.set("like", query.like);
  if (query.image) params.set("image", imageNumber);
  if (query.text && (query.image || query.like) && query.weight !== 0.5) params.set("weight", query.weight);
  if (query.sort) params.set("sort", query.sort);
  if (!query.spelling) params.set("spelling", "no");
  for (const [name, values] of Object.entries(query.chosen)) values.forEach((value) => params.append(`is.${name}`, value));
  for (const [name, [low, high]] of Object.entries(query.ranges)) {
    if (low || high) params.set(`in.${name}`, `${low}..${high}`);
  }
  const text = params.toString();
  return text ? `#/?${text}` : "#/";
}

/** The body of `POST v1/search` for a page of results: JSON, or a form where there is an image. */
export function bodyOf(query, columns, index, client, cursor) {
  const body = {
    text: query.text || undefined,
    product_id: query.like || undefined,
    image_weight: query.text && (query.like || query.image) ? query.weight : undefined,
    where: whereOf(query, columns) || undefined,
    sort: columns.some((column) => column.name === query.sort.replace(/^-/, "")) ? query.sort : undefined,
    facets: facetColumns(columns).map((column) => column.name),
    spelling: query.spelling,
    top_k: PAGE_SIZE,
    index,
    client_id: client,
    cursor,
  };
  if (!query.image) return body;
  const form = new FormData();
  form.append("image", query.image, "image");
  form.append("request", JSON.stringify(body));
  return form;
}

/** Columns whose values are counted. */
export function facetColumns(columns) {
  return columns.filter((column) => ["text", "list", "boolean"].includes(column.kind)).slice(0, 16);
}

/** Columns that take a lowest and a highest value. */
export function rangeColumns(columns) {
  return columns.filter((column) => ["integer", "number"].includes(column.kind));
}

/** How many conditions a search has. */
export function conditionCount(query) {
  return Object.keys(query.chosen).length + Object.keys(query.ranges).length;
}

/** The conditions of a search in the service's language of filters. */
export function whereOf(query, columns) {
  const kinds = Object.fromEntries(columns.map((column) => [column.name, column.kind]));
  const conditions = Object.entries(query.chosen).map(([name, values]) => chosenCondition(name, kinds[name], values));
  for (const [name, [low, high]] of Object.entries(query.ranges)) {
    if (!kinds[name]) continue; // an address of another index
    if (isNumber(low)) conditions.push(`${quotedName(name)} >= ${Number(low)}`);
    if (isNumber(high)) conditions.push(`${quotedName(name)} <= ${Number(high)}`);
  }
  return conditions.filter(Boolean).join(" and ");
}

function chosenCondition(name, kind, values) {
  const column = quotedName(name);
  if (!kind || !values.length) return "";
  if (kind === "boolean") return `(${values.map((value) => `${column} = ${value === "true"}`).join(" or ")})`;
  if (kind === "list") return `(${values.map((value) => `${column} contains ${quoted(value)}`).join(" or ")})`;
  return `${column} in (${values.map(quoted).join(", ")})`;
}

function isNumber(text) {
  return text !== undefined && text.trim() !== "" && Number.isFinite(Number(text));
}

function quoted(text) {
  return `'${String(text).replaceAll("'", "''")}'`;
}

function quotedName(name) {
  return "`" + name.replaceAll("`", "``") + "`";
}
