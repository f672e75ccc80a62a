// A server's ledger of one run: the schedule, the ranges that may have been sent to each client, and the receipts.
"use strict";
const { randomUUID } = require("node:crypto");
const fs = require("node:fs");
const { digest, nowUs, utc, LineFile } = require("./line.js");

// The feed is a function of seq: nothing is buffered for absent clients, and any digest can be computed again.
const CITIES = ["Århus", "Bogotá", "Čačak", "Delhi", "Évora"].map((city) => Buffer.from(city).toString("latin1"));
const record = (seq) => `{"id":${seq},"city":"${CITIES[seq % CITIES.length]}"}\n`;
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, place) => first + place);
const FEED = { seed: 0, schema: "cities", locale: "-", faker: "-", pool: CITIES.length };

class Ledger {
  constructor(volumes, total, rate, clients) {
    const [run, boot, instance] = [`${utc(nowUs()).slice(0, 19).replace(/[-:]/g, "")}Z`, randomUUID(), randomUUID()];
    fs.mkdirSync(`${volumes}/ledger`, { recursive: true });
    fs.mkdirSync(`${volumes}/ledger/${run}`); // without `recursive` it fails where another server has claimed the run
    this.file = new LineFile(`${volumes}/ledger/${run}/${instance}.jsonl`);
    Object.assign(this, { run, boot, total, rate, feed: `cities-${total}`, fence: 0, startUs: null, ended: false });
    this.enter("open", { run, instance, boot, software: "server.js", feed: this.feed, ...FEED, total, rate, clients });
  }

  enter(kind, fields) {
    this.file.write({ kind, at: utc(nowUs()), ...fields });
  }

  start() {
    this.startUs = nowUs() + 20_000; // time for writing the entry, so that the first record is not late
    this.enter("pace", { first: 1, due_us: this.startUs, rate: this.rate });
  }

  dueUs(seq) {
    return this.startUs + Math.floor(((seq - 1) * 1e6) / this.rate);
  }

  // The last seq that is due, from the clock: a delayed server shows as latency, not as a slower feed.
  head() {
    if (this.startUs === null || nowUs() < this.startUs) return 0;
    return this.rate ? Math.min(this.total, Math.floor(((nowUs() - this.startUs) * this.rate) / 1e6) + 1) : this.total;
  }

  subscribe(client, { session = 0, instance = "", block_size = 0, after = 0 }) {
    Object.assign(client, { fence: (this.fence += 1), instance, cursor: after + 1, through: 0, left: false });
    const { name, fence, cursor } = client;
    this.enter("subscribe", { client: name, session, instance, fence, first: cursor, block_size });
  }

  // Written ahead of sending: after a crash, records beyond `through` were certainly not sent.
  sends(client, last) {
    if (last <= client.through) return;
    client.through = Math.min(this.total, last + Math.max(32, this.rate));
    this.enter("sent", { client: client.name, fence: client.fence, through: client.through });
  }

  // Returns whether the server's own digest of the records agrees. A repeated receipt is not written again.
  receipt(client, { session, block, first, last, count, missing = [], digest: said }) {
    const { name, fence, receipts } = client;
    const key = `${session} ${block}`;
    if (!receipts.has(key)) {
      const seqs = range(first, last).filter((seq) => !missing.some((span) => span[0] <= seq && seq <= span[1]));
      const match = seqs.length === count && digest(seqs.map(record).join("")) === said;
      this.enter("receipt", { client: name, session, fence, block, first, last, count, missing, digest: said, match });
      receipts.set(key, match);
      client.receipted = Math.max(client.receipted, last);
    }
    return receipts.get(key);
  }

  leave({ name, fence, cursor, receipted }, cause) {
    this.enter("leave", { client: name, fence, sent: cursor - 1, receipted, cause });
  }

  end(reason) {
    this.ended = true;
    this.enter("end", { last: this.total, count: this.total, reason });
    this.file.sync();
  }
}

module.exports = { Ledger, range, record };
