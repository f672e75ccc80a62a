// npm `ws`: sends numbered records to all clients, once all have subscribed.
"use strict";

const { createRequire } = require("node:module");
const { play } = require("./feed.js");

const [modules, port, clients, count, rate] = process.argv.slice(2);
const { WebSocketServer } = createRequire(`${modules}/`)("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port) });
let subscribed = 0;
server.on("connection", (client) => client.once("message", () => {
  client.send(JSON.stringify({ op: "subscribed" }));
  subscribed += 1;
  if (subscribed === Number(clients)) play(count, rate, send);
}));

function send(record) {
  const text = JSON.stringify(record);
  for (const client of server.clients) client.send(text);
}
