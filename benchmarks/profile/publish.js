// Shared by the servers: sends numbered messages when they are due, and logs them on standard output.
"use strict";

const { readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");

const modules = process.argv[2];
const [port, pool, total, rate] = process.argv.slice(-4);
const records = readFileSync(pool, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

// A message is logged after it was passed to the library, so one that was not sent is missing in the log.
function publish(seq, startUs, send) {
  const dueUs = startUs + ((seq - 1) * 1e6) / Number(rate);
  setTimeout(() => {
    const sentUs = nowUs();
    send({ seq, sent_us: sentUs, record: records[(seq - 1) % records.length] });
    process.stdout.write(`${seq} ${sentUs}\n`);
    if (seq < Number(total)) publish(seq + 1, startUs, send);
  }, Math.max((dueUs - nowUs()) / 1000, 0));
}

// Reads the start time from standard input.
function publishFromStartTime(send) {
  createInterface({ input: process.stdin }).once("line", (startUs) => publish(1, Number(startUs), send));
}

module.exports = { modules, port: Number(port), publishFromStartTime };
