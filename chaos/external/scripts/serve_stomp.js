// npm `stomp-broker-js`: publishes numbered records, once all clients have subscribed.
"use strict";

const { createServer } = require("node:http");
const { createRequire } = require("node:module");
const { play } = require("./feed.js");

const [modules, port, clients, count, rate] = process.argv.slice(2);
const StompServer = createRequire(`${modules}/`)("stomp-broker-js");

const http = createServer();
const broker = new StompServer({ server: http, path: "/stomp", protocol: "ws" });
let subscribed = 0;
broker.on("subscribe", () => {
  subscribed += 1;
  if (subscribed === Number(clients)) {
    play(count, rate, (record) => broker.send("/topic/ticks", {}, JSON.stringify(record)));
  }
});
http.listen(Number(port), "127.0.0.1");
