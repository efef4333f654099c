// Recovery objectives: what became of them, and the outages that go on.

import { Capped, byId, cell, clock, dueIn, duration, el, icon, keyed, setAttribute, setText } from "./dom.js";

let all = [];
// When the engines were asked: by the page's clock that never turns back, and by the time of day there.
let asked = 0;
let askedAt = 0;
const ledger = new Capped(byId("objectives-more"), 30, draw);

/** Takes in the agents of all engines; `at` is when they were asked, by `performance.now()`, `atMs` by the server's. */
export function show(agents, at, atMs) {
  [all, asked, askedAt] = [agents, at, atMs];
  draw();
}

/** Goes on with the clocks between two answers of the engines. */
export function tick() {
  for (const row of byId("objectives-rows").children) if (row.agent.objective.current) tickRow(row);
}

export function draw() {
  const accounts = all.filter(({ objective: it }) => it.objective_ms !== null || it.met + it.breached > 0 || it.current);
  // What goes on comes first, the worst of it before the rest.
  accounts.sort((a, b) => urgency(b.objective) - urgency(a.objective) ||
    b.objective.breached - a.objective.breached || b.objective.met - a.objective.met);
  byId("objectives-empty").hidden = accounts.length > 0;
  const sum = (field) => accounts.reduce((total, { objective }) => total + objective[field], 0);
  const [met, breached] = [sum("met"), sum("breached")];
  const now = accounts.filter(({ objective }) => objective.current).length;
  const parts = [now && `${now} away now`, met + breached && `${met} met, ${breached} breached, ${kept(met, breached)} kept`];
  setText(byId("objectives-count"), parts.filter(Boolean).join("; ") || (accounts.length ? "no outage so far" : ""));
  keyed(byId("objectives-rows"), ledger.cut(accounts), (it) => it.key, makeRow, updateRow);
}

const isMissed = (current) => current.verdict === "breached";
const urgency = ({ current }) => (current ? 1 + current.at_risk + 2 * isMissed(current) : 0);

const kept = (met, breached) => (met + breached ? `${((100 * met) / (met + breached)).toFixed(0)} %` : "–");

function makeRow() {
  const number = (label) => cell(label, { class: "num" });
  const outage = cell("Outage");
  outage.append(el("span"), " ", el("span", { class: "badge", hidden: "" }, icon("alert"), el("span")));
  return el("tr", { role: "row" }, el("th", { role: "rowheader", scope: "row" }), number("Objective"), number("Outages"),
    number("Met"), number("Breached"), number("Kept"), number("Worst"), outage);
}

function updateRow(row, account) {
  row.agent = account;
  const { met, breached, current, worst_ms: worst, objective_ms: limit } = account.objective;
  const pending = current && !isMissed(current) ? 1 : 0;
  const texts = [account.agent, duration(limit) || "none", met + breached + pending, met, breached, kept(met, breached),
    worst ? duration(worst) : "–"];
  texts.forEach((text, n) => setText(row.children[n], String(text)));
  setAttribute(row, "data-agent", account.agent);
  setAttribute(row, "data-breached", breached > 0 ? "true" : null);
  setAttribute(row, "data-away", current ? "true" : null);
  tickRow(row);
}

/** The outage that goes on, and else the last one. */
function tickRow(row) {
  const { current, last } = row.agent.objective;
  const [text, note] = row.lastElementChild.children;
  setText(text, current ? present(row.agent, performance.now() - asked) : past(last));
  const missed = current && isMissed(current);
  note.hidden = !(missed || current?.at_risk);
  note.dataset.tone = missed ? "bad" : "warn";
  setText(note.lastElementChild, missed ? "objective missed" : "objective at risk");
}

function present(agent, since) {
  const { current, objective_ms: limit } = agent.objective;
  const away = duration(current.away_ms + since);
  const due = dueIn(agent, since);
  return `away since ${clock(askedAt - current.away_ms)}: ${away}${limit ? ` of ${duration(limit)}` : ""}${due ? `, next probe ${due === "now" || due === "when released" ? due : `in ${due}`}` : ""}`;
}

function past(last) {
  if (!last) return "no outage";
  const [detected, answered, verified] = [last.detect_ms, last.resume_ms, last.verified_ms].map((ms) => duration(ms) || "–");
  return `last: detected after ${detected}, first answer ${answered}, verified ${verified}: ${last.verdict.replace("_", " ")}`;
}
