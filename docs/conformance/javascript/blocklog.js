// A client's log of one run: groups records into blocks, and syncs each block before it returns its receipt.
"use strict";
const fs = require("node:fs");
const { digest, nowUs, spans, utc, LineFile } = require("./line.js");

const none = () => ({ duplicates: 0, reordered: 0, corrupt: [] });

class BlockLog {
  constructor(volumes, run, me) {
    const folder = `${volumes}/logs/${run}/${me.client}`;
    fs.mkdirSync(folder, { recursive: true });
    this.file = new LineFile(`${folder}/0001-0001.jsonl`); // claims the session
    Object.assign(this, { run, me, held: new Set(), sealed: false, blocks: 0, messages: 0, through: 0, endedUs: null });
    Object.assign(this, { last: 0, block: [], counts: none() }); // `last` is the highest seq held: where it resumes
    this.receipts = new Map(); // receipts that the server has not confirmed, by block
  }

  open(fence) {
    if (this.file.size) return; // a reconnected client continues its session
    const given = { segment: 1, fence, fsync: "block", after: 0, host: "", software: "client.js" };
    this.file.write({ kind: "open", run: this.run, ...this.me, ...given, opened_at: utc(nowUs()) });
  }

  // Adds a batch; returns the receipts of the blocks that became full.
  receive({ first, count, due_us, rate, sent_us, crc }, lines, atUs, clock) {
    const isWhole = digest(lines.join("\n")) === crc && lines.pop() === "" && lines.length === count;
    if (!isWhole) this.counts.corrupt.push([first, first + count - 1]); // not asked for again: a gap stays a gap
    return (isWhole ? lines : []).flatMap((record, place) => {
      const seq = first + place;
      this.counts.duplicates += this.held.has(seq);
      if (this.held.has(seq)) return []; // counted, and not logged again
      if (!this.block.length) this.clock = { ...clock }; // a block has one clock offset
      const thereUs = atUs + this.clock.clock_offset_us;
      const dueUs = due_us + (rate ? Math.floor((place * 1e6) / rate) : 0);
      const late = `"latency_ns":${(thereUs - dueUs) * 1000},"transit_ns":${(thereUs - sent_us) * 1000}`;
      // The record is written unchanged: after parsing and encoding it might have other bytes.
      const text = `{"seq":${seq},"received_at":"${utc(atUs)}",${late},"record":${record}}`;
      this.block.push({ seq, record, text, atUs });
      this.held.add(seq);
      this.counts.reordered += seq < this.last;
      this.last = Math.max(this.last, seq);
      return this.block.length === this.me.block_size ? this.close("count") : [];
    });
  }

  // Writes and syncs the open block, if there is one; returns its receipt.
  close(closed_by) {
    if (!this.block.length) return [];
    const { block, run, counts, clock, endedUs } = this;
    const inOrder = [...block].sort((one, other) => one.seq - other.seq);
    const [first, last, startUs, endUs] = [inOrder[0].seq, inOrder.at(-1).seq, block[0].atUs, block.at(-1).atUs];
    // The numbers missing since the block before; the digest can be computed from first, last and missing.
    const missing = spans(Math.min(first, this.through + 1), last, new Set(block.map(({ seq }) => seq)));
    const crc = digest(inOrder.map(({ record }) => `${record}\n`).join("")); // in the order of seq, not of arrival
    const said = { block: ++this.blocks, first, last, count: block.length, missing, digest: crc };
    const times = { started_at: utc(startUs), ended_at: utc(endUs), duration_ns: (endUs - startUs) * 1000 };
    times.idle_ns = endedUs === null ? 0 : (startUs - endedUs) * 1000;
    const { client, session } = this.me;
    const fields = { kind: "block", run, client, session, ...said, ...counts, closed_by, ...times, ...clock };
    const messages = block.map(({ text }) => text);
    this.file.write(fields, messages);
    this.file.sync();
    this.messages += block.length;
    Object.assign(this, { block: [], counts: none(), endedUs: endUs, through: Math.max(this.through, last) });
    const receipt = { session, ...said, took_ns: times.duration_ns };
    this.receipts.set(said.block, receipt);
    return [receipt];
  }

  seal(reason) {
    if (this.sealed || !this.file.size) return;
    const counts = { block_count: this.blocks, message_count: this.messages, byte_count: this.file.size };
    this.file.write({ kind: "end", reason, ...counts, ...this.counts, sha256: this.file.sha256 });
    this.file.sync();
    this.sealed = true;
  }
}

module.exports = { BlockLog };
