// npm `socket.io`: emits objects to all clients over WebSocket, as its users do.
"use strict";

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const [modules, port, pool, perMessage, burst, mostBuffered] = process.argv.slice(2);
const { Server } = createRequire(`${modules}/`)("socket.io");

const records = readFileSync(pool, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));
const messages = [];
for (let begin = 0; begin < records.length; begin += Number(perMessage)) {
  messages.push(perMessage === "1" ? records[begin] : records.slice(begin, begin + Number(perMessage)));
}

const server = new Server(Number(port), { transports: ["websocket"], serveClient: false });
const sockets = [];

function full() {
  return sockets.some(({ conn }) => conn.writeBuffer.length > 0 || conn.transport.socket.bufferedAmount > Number(mostBuffered));
}

// One burst per turn of the event loop, while no connection has too many bytes buffered.
function feed(sent, count) {
  if (full()) {
    setTimeout(feed, 1, sent, count);
    return;
  }
  const end = Math.min(sent + Number(burst), count);
  for (; sent < end; sent += 1) server.emit("r", messages[sent % messages.length]);
  if (sent < count) setImmediate(feed, sent, count);
}

server.on("connection", (socket) => {
  sockets.push(socket);
  socket.on("go", (count) => feed(0, count));
});
