// What both sides write: lines that are each checked and chained to the one before; and how they say digests and times.
"use strict";

const { createHash } = require("node:crypto");
const fs = require("node:fs");

// Bytes are kept as text of one character for each (latin1): they can be cut and joined, and stay what they were.
const bytes = (text) => Buffer.from(text, "latin1");

const TABLE = Uint32Array.from({ length: 256 }, (_, crc) => {
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

// Compared as text everywhere; the x keeps other tools from reading a number.
function digest(text) {
  let crc = ~0;
  for (const byte of bytes(text)) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return `x${(~crc >>> 0).toString(16).padStart(8, "0")}`;
}

// Tied to the wall clock once: when somebody sets that, stamps must not run backwards.
const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
const utc = (us) => new Date(us / 1000).toISOString().replace("Z", `${String(us % 1000).padStart(3, "0")}Z`);

// The seqs from first to last that a set lacks, as inclusive ranges.
function spans(first, last, present) {
  const found = [];
  for (let seq = first; seq <= last; seq += 1) {
    if (present.has(seq)) continue;
    if (found.at(-1)?.[1] === seq - 1) found.at(-1)[1] = seq;
    else found.push([seq, seq]);
  }
  return found;
}

// What somebody sent, which may be anything. A header that does not give its `head` says nothing that can be trusted.
function parsed(text) {
  try {
    const frame = JSON.parse(text) ?? {};
    const before = text.slice(0, text.lastIndexOf(',"head"'));
    return frame.head && frame.head !== digest(before) ? {} : frame;
  } catch {
    return {};
  }
}

class LineFile {
  // Claimed by creating it ("x" fails when somebody has), and never opened again.
  constructor(path) {
    this.descriptor = fs.openSync(path, "ax");
    this.prev = "x00000000";
    this.size = 0;
    this.hash = createHash("sha256");
  }

  // `crc` and `prev` come first and look exactly like this. Messages are given as they are to stand in the line.
  write(fields, messages) {
    const end = messages ? `,"messages":[${messages.join()}]}` : "}";
    const rest = `"prev":"${this.prev}",${JSON.stringify({ v: 1, ...fields }).slice(1, -1)}${end}`;
    this.prev = digest(rest);
    const line = bytes(`{"crc":"${this.prev}",${rest}\n`);
    // One write for a line: a crash then leaves whole lines, and one torn tail at most.
    if (fs.writeSync(this.descriptor, line) !== line.length) throw new Error("the disk took a part of a line");
    this.size += line.length;
    this.hash.update(line);
  }

  sync() {
    fs.fsyncSync(this.descriptor);
  }

  get sha256() {
    return this.hash.copy().digest("hex");
  }
}

module.exports = { bytes, digest, nowUs, parsed, spans, utc, LineFile };
