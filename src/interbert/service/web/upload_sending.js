// The lines of an upload on their way: in parts, each a write of the service that is kept before it is answered.

import { address } from "./parts.js";
import { lineOf } from "./product_file.js";

const LINES = 500;
const BYTES = 8 << 20;
const LOOK_MS = 500;

/**
 * Sends the rows of a file. A part has at most 500 lines, so that the service tells of each; a part that was not
 * answered is sent again under the same idempotency key, and is done once. All go to the index they were read for.
 */
export class Sending {
  constructor(app, { read, index, mapping, columns, images }) {
    Object.assign(this, { app, rows: read.rows, index: index?.name, mapping, columns, images });
    this.total = read.rows.length;
    this.sent = 0;
    this.done = 0;
    this.counts = {};
    this.errors = [];
    this.note = null;
    this.stopped = false;
    this.onProgress = () => null;
    this.part = null;
    this.tasks = [];
  }

  /** Send what is not sent yet, and wait until all of it is worked through; may be called again after an error. */
  async run() {
    while (this.sent < this.total) {
      this.part ??= await this.nextPart();
      await this.post();
    }
    while (this.tasks.length) await this.follow(this.tasks[0]);
    this.errors.sort((one, other) => one.line - other.line);
  }

  async nextPart() {
    const lines = [];
    let bytes = 0;
    while (this.sent + lines.length < this.total && lines.length < LINES && bytes < BYTES) {
      const line = await lineOf(this.rows[this.sent + lines.length], this.mapping, this.columns, this.images);
      lines.push(line);
      bytes += line.length;
    }
    const bytesOfKey = crypto.getRandomValues(new Uint8Array(16));
    return { lines, key: Array.from(bytesOfKey, (one) => one.toString(16).padStart(2, "0")).join("") };
  }

  async post() {
    const { lines, key } = this.part;
    const body = { raw: `${lines.join("\n")}\n`, type: "application/x-ndjson" };
    const path = address(this.app, "v1/products", { index: this.index, wait: 0 });
    const reply = await this.app.api("POST", path, body, { headers: { "Idempotency-Key": key } });
    const part = { id: reply.id ?? reply.task_id, first: this.sent, lines: lines.length, done: 0 };
    this.sent += lines.length;
    this.part = null;
    if (reply.results) this.finish(part, reply);
    else this.tasks.push(part);
    this.onProgress();
  }

  async follow(part) {
    const task = await this.app.api("GET", `v1/tasks/${part.id}`);
    this.done += task.done - part.done;
    part.done = task.done;
    this.note = task.note;
    this.onProgress();
    if (task.state === "succeeded") {
      this.finish(part, task);
      this.tasks.shift();
    } else if (task.state === "failed") {
      const reason = task.error ?? this.app.t("task.failed");
      for (let place = 0; place < part.lines; place++) this.errors.push({ line: this.rows[part.first + place].line, product: null, reason });
      this.counts.rejected = (this.counts.rejected ?? 0) + part.lines;
      this.tasks.shift();
    } else await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }

  /** Add up a part that is done; the lines of its errors are those of the file. */
  finish(part, { counts, results, errors }) {
    this.done += part.lines - part.done;
    for (const [status, count] of Object.entries(counts ?? {})) this.counts[status] = (this.counts[status] ?? 0) + count;
    const wrong = results
      ? results.filter((one) => one.error).map((one) => ({ ...one, message: one.error.message }))
      : errors;
    for (const one of wrong) this.errors.push({ line: this.rows[part.first + one.line - 1].line, product: one.product_id, reason: one.message });
    this.onProgress();
  }
}
