// Fields in hand: leased from the server before they are needed, their pictures decoded, renewed while the page lives.

import { post } from "./http.js";
import { loadPicture } from "./pictures.js";

const AHEAD = 12;
const REFILL_BELOW = 8;
const LOOK_AGAIN_MS = 4000;

export class Queue {
  constructor({ station, query, leaseS, onItems }) {
    this.station = station;
    this.query = query;
    this.onItems = onItems;
    this.items = [];
    this.waiting = null;
    this.problem = "";
    this.filling = null;
    setInterval(() => this.renew(), (leaseS * 1000) / 3);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.renew());
    addEventListener("pagehide", () => this.release());
  }

  get current() {
    return this.items[0];
  }

  // Take the first field off; the next one stands ready.
  shift() {
    const item = this.items.shift();
    if (this.items.length < REFILL_BELOW) this.fill();
    return item;
  }

  unshift(item) {
    this.items = this.items.filter((other) => other.field_id !== item.field_id);
    this.items.unshift(prepare(item));
  }

  fill() {
    this.filling ??= this.take().finally(() => {
      this.filling = null;
    });
    return this.filling;
  }

  async take() {
    const wanted = AHEAD - this.items.length;
    if (wanted <= 0) return;
    const result = await post("/review/take", { station: this.station, count: wanted, ...this.query });
    if (result.ok) {
      const held = new Set(this.items.map((item) => item.field_id));
      this.items.push(...result.data.items.filter((item) => !held.has(item.field_id)).map(prepare));
      this.waiting = result.data.waiting;
      this.problem = "";
    } else {
      this.problem = result.detail;
    }
    if (!this.items.length) setTimeout(() => this.fill(), LOOK_AGAIN_MS);
    this.onItems();
  }

  // A field whose lease ran out while the machine slept may be in other hands by now: it is dropped.
  async renew() {
    if (!this.items.length) return;
    const ids = this.items.map((item) => item.field_id);
    const result = await post("/review/renew", { station: this.station, ids });
    if (!result.ok) return;
    const held = new Set(result.data);
    const lost = new Set(ids.filter((id) => !held.has(id)));
    if (!lost.size) return;
    this.items = this.items.filter((item) => !lost.has(item.field_id));
    this.onItems();
    this.fill();
  }

  release() {
    const body = new Blob([JSON.stringify({ station: this.station })], { type: "application/json" });
    navigator.sendBeacon("/review/release", body);
  }
}

function prepare(item) {
  if (item.picture) return item;
  item.picture = new Image(item.crop.width, item.crop.height);
  item.picture.alt = "The field as it stands on the paper";
  item.decoded = loadPicture(item.picture, item.crop.url);
  return item;
}
