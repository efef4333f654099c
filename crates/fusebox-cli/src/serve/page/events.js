// The stream of events, newest first.

import { byId, clock, el, keyed, setText } from "./dom.js";

const KEPT = 500;
const SHOWN = 150;

let all = [];
let held = null;
let missed = 0;
const known = new Set();
const key = (it) => `${it.seq}/${it.at_ms}`;

export function start() {
  byId("events-filter").addEventListener("input", draw);
  byId("events-pause").addEventListener("click", pause);
}

export function add(event) {
  // After a break the last ones come once more.
  if (known.has(key(event))) return;
  known.add(key(event));
  all.unshift(event);
  if (all.length > KEPT) known.delete(key(all.pop()));
}

export function lost(count) {
  missed += count;
  draw();
}

/** Holds the list still, and lets it go on with all that came meanwhile. */
export function pause() {
  held = held ? null : [...all];
  byId("events-pause").setAttribute("aria-pressed", String(held !== null));
  setText(byId("events-pause"), held ? "Go on" : "Pause");
  draw();
}

export function draw() {
  const text = byId("events-filter").value.toLowerCase();
  const line = (it) => `${it.run ?? ""} ${it.text} ${it.event.kind}`.toLowerCase();
  const wanted = (held ?? all).filter((it) => line(it).includes(text));
  byId("events-empty").hidden = all.length > 0;
  setText(byId("events-note"), missed ? `${missed} events were missed: this page was too slow for them` : "");
  keyed(byId("events-rows"), wanted.slice(0, SHOWN), key, make, () => {});
}

function make(it) {
  return el("li", { "data-kind": it.event.kind }, el("time", {}, clock(it.at_ms)), el("span", {}, it.text, " ", el("span", { class: "muted" }, it.run ?? "")));
}
