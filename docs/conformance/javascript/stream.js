// Sends a run: starts it, sends due records to all connected clients, ends it.
"use strict";
const { range, record } = require("./ledger.js");
const { bytes, digest, nowUs } = require("./line.js");

class Stream {
  constructor(ledger, wanted) {
    Object.assign(this, { ledger, wanted, movedUs: 0 });
    this.clients = new Map(); // subscribed clients by name; absent ones have no socket
  }

  here() {
    return [...this.clients.values()].filter(({ socket }) => socket);
  }

  // Called every few milliseconds.
  turn() {
    const { ledger, clients } = this;
    if (ledger.startUs === null && this.here().length >= this.wanted) ledger.start();
    const head = ledger.head();
    for (const client of this.here()) this.serve(client, head);
    if (head < ledger.total || ledger.ended) return;
    const complete = [...clients.values()].every(({ left, receipted }) => left || receipted === ledger.total);
    if (complete || nowUs() - this.movedUs > 15e6) ledger.end(complete ? "complete" : "grace");
  }

  serve(client, head) {
    const { total } = this.ledger;
    // Limited by the socket's buffer: a client that reads slowly falls behind, and costs no memory.
    while (client.cursor <= head && client.socket.bufferedAmount < 65_536) {
      this.send(client, Math.min(head, client.cursor + 99));
    }
    if (client.cursor > total && !client.told) this.say(client.socket, "end", { last: total, count: total });
    client.told = client.cursor > total;
    // Idle frames show that the feed has not ended.
    const isQuiet = nowUs() - client.socket.saidUs > 1e6;
    if (isQuiet && !client.told) this.say(client.socket, "idle", { next: client.cursor, now_us: nowUs() });
  }

  send(client, last) {
    const { ledger } = this;
    const { rate } = ledger;
    const first = client.cursor;
    ledger.sends(client, last);
    const body = range(first, last).map(record).join("");
    const sent_us = nowUs();
    const due_us = rate ? ledger.dueUs(first) : sent_us; // without a schedule a record is due when it is sent
    const header = { type: "records", first, count: last - first + 1, due_us, rate, sent_us, crc: digest(body) };
    client.socket.send(bytes(`${JSON.stringify(header)}\n${body}`), { binary: false });
    client.cursor = last + 1;
    this.movedUs = client.socket.saidUs = sent_us;
  }

  say(socket, type, fields) {
    socket.send(JSON.stringify({ type, ...fields }));
    socket.saidUs = nowUs();
  }

  welcome() {
    const { run, feed, total, rate, startUs, boot, ended } = this.ledger;
    const state = ended ? "ended" : startUs === null ? "waiting" : "running";
    return { v: 1, run, feed, state, total, rate, start_us: startUs, boot, now_us: nowUs() };
  }

  // A stopped server pauses the schedule; after a crash the schedule has continued.
  pause() {
    const { startUs, total } = this.ledger;
    const [first, due_us] = [this.ledger.head() + 1, nowUs()];
    if (startUs !== null && first <= total) this.ledger.enter("pace", { first, due_us, rate: null });
  }

  leave(client, cause) {
    this.ledger.leave(client, cause);
    Object.assign(client, { socket: null, left: cause === "bye" }); // left on purpose, so the run does not wait for it
  }
}

module.exports = { Stream };
