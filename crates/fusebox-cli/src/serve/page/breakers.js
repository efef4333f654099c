// The breakers of all engines.

import { Capped, badge, byId, cell, dueIn, duration, el, keyed, setAttribute, setBadge, setText } from "./dom.js";
import * as objectives from "./objectives.js";

const SEVERITY = ["forced_open", "open", "half_open", "disabled", "metrics_only", "closed"];
const severity = (agent) => SEVERITY.indexOf(agent.state);

// What agents depend on: nobody stands in line for it, and it has no objective.
const UNAWAITED = { waiting: 0, queued: 0, oldest_wait_ms: null, objective: { current: null, objective_ms: null } };

let act = () => {};
let all = [];
let severalProcesses = false;
let asked = 0;
const shown = new Capped(byId("breakers-more"), 60, draw);

export function start(onAct) {
  act = onAct;
  byId("breakers-filter").addEventListener("input", draw);
  byId("breakers-state").addEventListener("change", draw);
}

/** Takes in what the engines say now; `at` is when that was, by `performance.now()`. */
export function show(overview, at) {
  severalProcesses = overview.engines.length > 1;
  asked = at;
  const rows = (name) => overview.engines.flatMap(({ engine, health }) =>
    health[name].map((it) => ({ ...it, pid: engine.pid, key: `${engine.pid}/${it.agent ?? it.dependency}` })));
  const agents = rows("agents");
  all = agents.concat(rows("dependencies").map((it) => ({ ...it, ...UNAWAITED, agent: it.dependency })));
  all.sort(byNeed);
  draw();
  objectives.show(agents, at, overview.at_ms);
}

/** Takes in moves at once, before the engines are asked. */
export function move(moves) {
  const known = new Map(all.map((agent) => [agent.key, agent]));
  let isOne = false;
  for (const { pid, event } of moves) {
    const agent = known.get(`${pid}/${event.breaker}`);
    if (!agent) continue;
    Object.assign(agent, { state: event.to, reason: event.to === "closed" ? null : event.reason, due_in_ms: null });
    isOne = true;
  }
  if (!isOne) return;
  all.sort(byNeed);
  draw();
  objectives.draw();
}

/** What is not closed comes first. Names are compared by code: a locale's way costs a hundred times as much. */
function byNeed(a, b) {
  return severity(a) - severity(b) || (a.agent < b.agent ? -1 : a.agent > b.agent ? 1 : a.pid - b.pid);
}

export const find = (name) => all.filter((it) => it.agent === name);

function draw() {
  const text = byId("breakers-filter").value.toLowerCase();
  const state = byId("breakers-state").value;
  const wanted = all.filter((agent) =>
    (agent.agent.toLowerCase().includes(text) || (agent.reason ?? "").toLowerCase().includes(text)) &&
    (!state || agent.state === state || (state === "away" && agent.state !== "closed")));
  const away = all.filter((agent) => agent.state !== "closed").length;
  setText(byId("breakers-count"), all.length ? `${all.length}, ${away} not closed${wanted.length < all.length ? `, ${wanted.length} match` : ""}` : "");
  byId("breakers-empty").hidden = all.length > 0;
  keyed(byId("breakers-rows"), shown.cut(wanted), (it) => it.key, makeRow, updateRow);
}

function makeRow(agent) {
  const row = el("tr", { role: "row" });
  const name = el("th", { role: "rowheader", scope: "row" }, el("span", { class: "name" }), el("span", { class: "muted" }));
  const state = cell("State");
  state.append(badge(agent.state));
  const objective = cell("Away / objective");
  objective.append(el("span"), el("meter", { min: 0, max: 1, low: 0.6, high: 0.999, optimum: 0, hidden: "" }));
  const action = cell("", { class: "action" });
  action.append(el("button", { type: "button", onclick: () => act(row.agent) }, "Act…"));
  row.append(name, state, cell("Why", { class: "why" }), cell("In flight", { class: "num" }),
    cell("Waiting", { class: "num" }), cell("Due in", { class: "num due" }), objective, action);
  return row;
}

function updateRow(row, agent) {
  row.agent = agent;
  const [name, state, why, flight, , , , action] = row.children;
  row.dataset.agent = agent.agent;
  row.dataset.state = agent.state;
  setText(name.firstChild, agent.agent);
  setText(name.lastChild, severalProcesses ? ` process ${agent.pid}` : "");
  setBadge(state.firstChild, agent.state);
  setText(why, agent.reason ?? "");
  setText(flight, String(agent.in_flight));
  tickRow(row);
  setAttribute(action.firstChild, "aria-label", `Act on ${agent.agent}, which is ${agent.state.replace("_", " ")}`);
}

function drawObjective(node, { current, objective_ms: limit }, since) {
  const [text, meter] = node.children;
  const away = current && current.away_ms + since;
  const verdict = current?.verdict === "breached" ? ", breached" : "";
  const of = limit ? `${current ? " of " : "objective "}${duration(limit)}` : "";
  setText(text, current ? `${duration(away)}${of}${verdict}` : of);
  meter.hidden = !(current && limit);
  if (!meter.hidden) {
    meter.value = Math.min(1, away / limit);
    setAttribute(meter, "aria-label", `${Math.round((100 * away) / limit)} % of the objective used`);
  }
}

/** Goes on with the clocks between two answers of the engines. */
export function tick() {
  for (const row of byId("breakers-rows").children) if (row.agent.state !== "closed") tickRow(row);
  objectives.tick();
}

function tickRow(row) {
  const { waiting, queued, oldest_wait_ms: oldest, objective } = row.agent;
  const since = performance.now() - asked;
  const first = waiting && oldest !== null ? `, for ${duration(oldest + since)}` : "";
  setText(row.children[4], `${waiting}${first}${queued ? `, ${queued} queued` : ""}`);
  drawObjective(row.children[6], objective, since);
  setText(row.children[5], dueIn(row.agent, since));
}
