// npm `socket.io`: emits numbered events to all clients, once all have connected.
"use strict";

const { createServer } = require("node:http");
const { createRequire } = require("node:module");

const [modules, port, clients, count, rate] = process.argv.slice(2);
const { Server } = createRequire(`${modules}/`)("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: 1000 });
http.listen(Number(port), "127.0.0.1");
let connected = 0;
io.on("connection", () => {
  connected += 1;
  if (connected === Number(clients)) sendFeed();
});

function sendFeed() {
  const began = Date.now();
  let seq = 0;
  const timer = setInterval(() => {
    while (seq < Number(count) && seq < ((Date.now() - began) * Number(rate)) / 1000) {
      seq += 1;
      io.emit("tick", { seq, ts: Date.now(), text: `record ${seq}` });
    }
    if (seq >= Number(count)) clearInterval(timer);
  }, 5);
}
