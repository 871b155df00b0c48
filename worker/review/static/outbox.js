// Decisions on their way to the server: one after the other, so that they are written down in the order they were made.
// What is still unsent when the page is left goes out at once.

import { post } from "./http.js";

const PATH = "/review/decide";

export class Outbox {
  constructor() {
    this.unsent = [];
    this.sending = false;
    addEventListener("pagehide", () => this.flush());
  }

  send(order) {
    return new Promise((answered) => {
      this.unsent.push({ order, answered });
      this.next();
    });
  }

  async next() {
    if (this.sending || !this.unsent.length) return;
    this.sending = true;
    const { order, answered } = this.unsent.shift();
    answered(await post(PATH, order, { keepalive: true }));
    this.sending = false;
    this.next();
  }

  get isEmpty() {
    return !this.sending && !this.unsent.length;
  }

  flush() {
    for (const { order } of this.unsent.splice(0)) {
      navigator.sendBeacon(PATH, new Blob([JSON.stringify(order)], { type: "application/json" }));
    }
  }
}
