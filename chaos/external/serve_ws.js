// npm `ws`: sends numbered records to all clients, once all have subscribed.
"use strict";

const { createRequire } = require("node:module");

const [modules, port, clients, count, rate] = process.argv.slice(2);
const { WebSocketServer } = createRequire(`${modules}/`)("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port) });
let subscribed = 0;
server.on("connection", (client) => client.once("message", () => {
  client.send(JSON.stringify({ op: "subscribed" }));
  subscribed += 1;
  if (subscribed === Number(clients)) sendFeed();
}));

function sendFeed() {
  const began = Date.now();
  let seq = 0;
  const timer = setInterval(() => {
    while (seq < Number(count) && seq < ((Date.now() - began) * Number(rate)) / 1000) {
      seq += 1;
      const text = JSON.stringify({ seq, ts: Date.now(), text: `record ${seq}` });
      for (const client of server.clients) client.send(text);
    }
    if (seq >= Number(count)) clearInterval(timer);
  }, 5);
}
