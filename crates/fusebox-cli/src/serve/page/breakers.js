// The breakers of all engines, and their recovery objectives.

import { Capped, badge, byId, duration, el, keyed, setAttribute, setBadge, setText } from "./dom.js";

const SEVERITY = ["forced_open", "open", "half_open", "disabled", "metrics_only", "closed"];
const severity = (agent) => SEVERITY.indexOf(agent.state);

let act = () => {};
let all = [];
let severalProcesses = false;
let asked = 0;
const shown = new Capped(byId("breakers-more"), 60, draw);
const ledger = new Capped(byId("objectives-more"), 30, draw);

export function start(onAct) {
  act = onAct;
  byId("breakers-filter").addEventListener("input", draw);
  byId("breakers-state").addEventListener("change", draw);
}

/** Takes in what the engines say now; `at` is when that was, by `performance.now()`. */
export function show(overview, at) {
  severalProcesses = overview.engines.length > 1;
  asked = at;
  all = overview.engines.flatMap(({ engine, health }) =>
    health.agents.map((agent) => ({ ...agent, pid: engine.pid, key: `${engine.pid}/${agent.agent}` })));
  all.sort(byNeed);
  draw();
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
  drawObjectives();
}

function cell(label, attributes = {}) {
  return el("td", { role: "cell", "data-label": label, ...attributes });
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
}

function tickRow(row) {
  const { due_in_ms: due, state, waiting, queued, oldest_wait_ms: oldest, objective } = row.agent;
  const since = performance.now() - asked;
  const first = waiting && oldest !== null ? `, for ${duration(oldest + since)}` : "";
  setText(row.children[4], `${waiting}${first}${queued ? `, ${queued} queued` : ""}`);
  drawObjective(row.children[6], objective, since);
  const left = due === null ? null : Math.max(0, due - since);
  const text = left === null ? (state === "forced_open" ? "when released" : "") : left === 0 ? "now" : duration(left);
  setText(row.children[5], text);
}

function drawObjectives() {
  const accounts = all.filter(({ objective: it }) => it.objective_ms !== null || it.met + it.breached > 0 || it.current);
  accounts.sort((a, b) => b.objective.breached - a.objective.breached || b.objective.met - a.objective.met);
  byId("objectives-empty").hidden = accounts.length > 0;
  const sum = (field) => accounts.reduce((total, { objective }) => total + objective[field], 0);
  const [met, breached] = [sum("met"), sum("breached")];
  setText(byId("objectives-count"), met + breached ? `${met} met, ${breached} breached, ${kept(met, breached)} kept` : "no outage so far");
  keyed(byId("objectives-rows"), ledger.cut(accounts), (it) => it.key, makeAccount, updateAccount);
}

const kept = (met, breached) => (met + breached ? `${((100 * met) / (met + breached)).toFixed(0)} %` : "–");

function makeAccount() {
  const number = (label) => cell(label, { class: "num" });
  return el("tr", { role: "row" }, el("th", { role: "rowheader", scope: "row" }), number("Objective"), number("Outages"),
    number("Met"), number("Breached"), number("Kept"), number("Worst"), cell("Last outage"));
}

function updateAccount(row, { agent, objective }) {
  const { met, breached, current, last, worst_ms: worst, objective_ms: limit } = objective;
  const outage = current ?? last;
  const phases = outage && [outage.detect_ms, outage.resume_ms, outage.verified_ms].map((ms) => duration(ms) || "–").join(", ");
  const pending = current && current.verdict !== "breached" ? 1 : 0;
  const texts = [agent, duration(limit) || "none", met + breached + pending, met, breached, kept(met, breached),
    duration(worst) === "0 ms" ? "–" : duration(worst), outage ? `${phases}: ${current ? "still away" : outage.verdict.replace("_", " ")}` : "no outage"];
  texts.forEach((text, n) => setText(row.children[n], String(text)));
  setAttribute(row, "data-breached", breached > 0 ? "true" : null);
}
