// Tables of comma-separated values, as spreadsheets write and read them.

/**
 * Rows of a CSV text (RFC 4180): quoted fields may hold separators, doubled quotes and ends of lines. The separator is
 * the one of `, ; tab` that the first line has most of.
 *
 * @returns {heads, rows: [{line, cells}]}; `line` is where the row begins, from 1.
 * @throws Error whose `line` says where a quote is not closed.
 */
export function readCsv(text) {
  const source = text.replace(/^\uFEFF/, "");
  const first = source.slice(0, /[\r\n]|$/.exec(source).index).replace(/"[^"]*"/g, "");
  const separator = [",", ";", "\t"].reduce((best, one) => (first.split(one).length > first.split(best).length ? one : best));
  const rows = [];
  let [cells, cell, line, begun, place] = [[], "", 1, 1, 0];

  const endRow = () => {
    cells.push(cell);
    if (cells.length > 1 || cells[0].trim()) rows.push({ line: begun, cells });
    [cells, cell, begun] = [[], "", line];
  };

  while (place < source.length) {
    const sign = source[place];
    if (sign === '"' && cell === "") {
      const opened = line;
      for (place += 1; ; place += 1) {
        if (place >= source.length) throw Object.assign(new Error("quote"), { line: opened });
        if (source[place] === '"' && source[place + 1] !== '"') break;
        if (source[place] === '"') place += 1;
        if (source[place] === "\n") line += 1;
        cell += source[place];
      }
    } else if (sign === separator) {
      cells.push(cell);
      cell = "";
    } else if (sign === "\n" || sign === "\r") {
      if (sign === "\r" && source[place + 1] === "\n") place += 1;
      line += 1;
      endRow();
    } else cell += sign;
    place += 1;
  }
  if (cell || cells.length) endRow();
  const heads = (rows.shift()?.cells ?? []).map((head) => head.trim());
  return { heads, rows };
}

/** A CSV text of rows of values; a value that a spreadsheet would compute begins with an apostrophe. */
export function writeCsv(rows) {
  const cell = (value) => {
    const text = String(value ?? "").replace(/^(?=[=+\-@\t\r])/, "'");
    return /[",\n\r;]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
