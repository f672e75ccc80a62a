// Shared by client and server: files of checksummed, chained lines, and the text forms of digests and times.
"use strict";

const { createHash } = require("node:crypto");
const fs = require("node:fs");

// Bytes are kept as latin1 text, one character per byte, so that they can be cut and joined without change.
const bytes = (text) => Buffer.from(text, "latin1");

const TABLE = Uint32Array.from({ length: 256 }, (_, crc) => {
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

// Digests are compared as text; the x prevents other tools from parsing a number.
function digest(text) {
  let crc = ~0;
  for (const byte of bytes(text)) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return `x${(~crc >>> 0).toString(16).padStart(8, "0")}`;
}

// Based on the wall clock at the start only, so that timestamps do not run backwards when that clock is set.
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

// Parses a header, which may be any text; returns {} if it is malformed or its `head` checksum is wrong.
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
  // Created with "x", which fails if the file exists, and never opened again.
  constructor(path) {
    this.descriptor = fs.openSync(path, "ax");
    this.prev = "x00000000";
    this.size = 0;
    this.hash = createHash("sha256");
  }

  // `crc` and `prev` come first, in exactly this form. Messages are passed as encoded text.
  write(fields, messages) {
    const end = messages ? `,"messages":[${messages.join()}]}` : "}";
    const rest = `"prev":"${this.prev}",${JSON.stringify({ v: 1, ...fields }).slice(1, -1)}${end}`;
    this.prev = digest(rest);
    const line = bytes(`{"crc":"${this.prev}",${rest}\n`);
    // A single write per line, so that a crash leaves whole lines and at most one torn tail.
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
