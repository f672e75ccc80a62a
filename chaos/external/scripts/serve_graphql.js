// npm `graphql-ws`: a subscription of numbered records, sent to all clients once all have subscribed.
"use strict";

const { createRequire } = require("node:module");
const { play } = require("./feed.js");

const [modules, port, clients, count, rate] = process.argv.slice(2);
const installed = createRequire(`${modules}/`);
const { WebSocketServer } = installed("ws");
const { buildSchema } = installed("graphql");
const { useServer } = installed("graphql-ws/use/ws");

const schema = buildSchema("type Tick { seq: Int, ts: Float, text: String } type Query { no: Int } type Subscription { ticks: Tick }");
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), path: "/graphql" });
const queues = [];

async function* ticks() {
  const queue = { records: [], wake: () => {} };
  queues.push(queue);
  if (queues.length === Number(clients)) play(count, rate, send);
  for (;;) {
    while (queue.records.length) yield { ticks: queue.records.shift() };
    await new Promise((resolve) => { queue.wake = resolve; });
  }
}

function send(record) {
  for (const queue of queues) {
    queue.records.push(record);
    queue.wake();
  }
}

// A client that does not begin in time is closed with 4408; one that has not answered a ping when the next is due, with 1006.
useServer({ schema, roots: { subscription: { ticks } }, connectionInitWaitTimeout: 2000 }, server, 1500);
