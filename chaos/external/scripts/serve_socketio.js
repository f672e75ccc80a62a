// npm `socket.io`, 2 or 4: emits numbered events to all clients, once all have connected.
"use strict";

const { createServer } = require("node:http");
const { createRequire } = require("node:module");
const { play } = require("./feed.js");

const [modules, port, clients, count, rate] = process.argv.slice(2);
const socketIo = createRequire(`${modules}/`)("socket.io");

const http = createServer();
// Version 2 hangs up on a client that sent no ping for the sum of both, version 4 on one that did not answer a ping.
const io = socketIo(http, { transports: ["websocket"], pingInterval: 700, pingTimeout: 1300 });
http.listen(Number(port), "127.0.0.1");
let connected = 0;
io.on("connection", () => {
  connected += 1;
  if (connected === Number(clients)) play(count, rate, (record) => io.emit("tick", record));
});
