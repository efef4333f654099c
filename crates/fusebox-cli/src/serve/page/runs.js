// The runs in the store.

import { Capped, badge, byId, clock, el, keyed, setAttribute, setBadge, setText } from "./dom.js";

let all = [];
let total = 0;
let selected = null;
let select = () => {};
const shown = new Capped(byId("runs-more"), 40, draw);

export function start(onSelect) {
  select = onSelect;
  byId("runs-filter").addEventListener("input", draw);
  byId("runs-status").addEventListener("change", draw);
}

export function show(document, current) {
  all = document.runs;
  total = document.total;
  selected = current;
  draw();
}

/** The run worth looking at where nobody has chosen: one that is worked on, else the newest. */
export const first = () => (all.find((run) => run.live) ?? all[0])?.run ?? null;

export function mark(current) {
  selected = current;
  draw();
}

function draw() {
  const text = byId("runs-filter").value.toLowerCase();
  const status = byId("runs-status").value;
  const wanted = all.filter((run) =>
    (run.run.toLowerCase().includes(text) || run.workflow.toLowerCase().includes(text) || (run.reason ?? "").toLowerCase().includes(text)) &&
    (!status || run.status === status || (status === "live" && run.live)));
  const live = all.filter((run) => run.live).length;
  const more = total > all.length ? `, the newest ${all.length} here` : "";
  setText(byId("runs-count"), total ? `${total}, ${live} worked on${more}${wanted.length < all.length ? `, ${wanted.length} match` : ""}` : "");
  byId("runs-empty").hidden = total > 0;
  keyed(byId("runs-rows"), shown.cut(wanted), (run) => run.run, make, update);
}

function make(run) {
  return el("li", {}, el("button", { type: "button", class: "pick", onclick: () => select(run.run) },
    el("span", { class: "name" }), badge(run.status), el("span", { class: "muted" }), el("span", { class: "why" })));
}

function update(item, run) {
  const button = item.firstChild;
  const [name, status, when, why] = button.children;
  item.dataset.run = run.run;
  setAttribute(button, "aria-current", run.run === selected ? "true" : null);
  setText(name, run.run);
  setBadge(status, run.status);
  const abandoned = run.status === "running" && !run.live ? ", nobody here works on it" : "";
  setText(when, `${run.workflow}, ${clock(run.created_ms)}${run.live ? `, process ${run.live}` : abandoned}`);
  setText(why, run.reason ?? "");
}
