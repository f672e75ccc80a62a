// npm `ws` as one would use it: parses each message, checks its number, and appends a JSON line for it.
"use strict";

const { createWriteStream } = require("node:fs");
const { createRequire } = require("node:module");

const [modules, url, path] = process.argv.slice(2);
const WebSocket = createRequire(`${modules}/`)("ws");

const log = createWriteStream(path);
const last = new Map();
let missing = 0;

const feed = new WebSocket(url, { perMessageDeflate: false });
feed.on("message", (data) => {
  const receivedAt = Date.now();
  const text = data.toString();
  const record = JSON.parse(text);
  const before = last.get(record.sym);
  if (before !== undefined && record.seq !== before + 1) missing += record.seq - before - 1;
  last.set(record.sym, record.seq);
  const message = { seq: record.seq, key: record.sym, received_at: receivedAt, latency: receivedAt - record.ts / 1e6, record };
  log.write(`${JSON.stringify(message)}\n`);
});
feed.on("close", () => log.end(() => console.log(`end ${missing}`)));
