// npm `ws`: greets a client, parses its request and answers it, as the project's server does with a subscription.
"use strict";

const { createRequire } = require("node:module");

const [modules, port] = process.argv.slice(2);
const { WebSocketServer } = createRequire(`${modules}/`)("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false });

server.on("connection", (connection) => {
  connection.on("error", () => {});
  connection.on("message", (text) => {
    const request = JSON.parse(text);
    connection.send(JSON.stringify({ type: "subscribed", client: request.client, first: 1, receipted: 0, fence: 1 }));
  });
  connection.send(JSON.stringify({ type: "welcome", run: "20261122T073000Z", state: "waiting", total: 1000 }));
});
