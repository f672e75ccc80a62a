// npm `ws`: broadcasts as documented, from bytes and without compression.
"use strict";

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const [modules, port, pool, perMessage, burst, mostBuffered] = process.argv.slice(2);
const { WebSocketServer } = createRequire(`${modules}/`)("ws");

const lines = readFileSync(pool, "latin1").split("\n").slice(0, -1);
const messages = [];
for (let begin = 0; begin < lines.length; begin += Number(perMessage)) {
  const batch = lines.slice(begin, begin + Number(perMessage));
  messages.push(Buffer.from(perMessage === "1" ? batch[0] : batch.map((line) => `${line}\n`).join(""), "latin1"));
}

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false });
const full = () => [...server.clients].some((client) => client.bufferedAmount > Number(mostBuffered));

// One burst per turn of the event loop, while no connection has too many bytes buffered.
function feed(sent, count) {
  if (full()) {
    setTimeout(feed, 1, sent, count);
    return;
  }
  const end = Math.min(sent + Number(burst), count);
  for (; sent < end; sent += 1) {
    const message = messages[sent % messages.length];
    for (const client of server.clients) client.send(message, { binary: false });
  }
  if (sent < count) setImmediate(feed, sent, count);
}

server.on("connection", (client) => client.on("message", (count) => feed(0, Number(count))));
