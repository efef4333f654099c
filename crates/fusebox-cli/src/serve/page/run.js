// The selected run: graph, questions, timeline, journal.

import { badge, byId, duration, el, keyed, setAttribute, setBadge, setText, words } from "./dom.js";
import { Graph } from "./graph.js";

const DELIVERED = ["completed", "degraded"];
const OVER = [...DELIVERED, "failed", "cancelled"];

let act = () => {};
let graph = null;

export function start(onAct, onPick) {
  act = onAct;
  graph = new Graph(byId("graph"), onPick);
  const legend = ["pending", "running", "succeeded", "degraded", "waiting", "shielded", "suspended", "failed", "closed", "half_open", "open", "forced_open"];
  byId("legend").append(...legend.map((name) => el("li", {}, badge(name))));
}

/** Shows a run, or that there is none. */
export function show(run, picture) {
  byId("graph-empty").hidden = Boolean(run);
  for (const id of ["graph", "legend", "timeline-box", "journal-box"]) byId(id).hidden = !run;
  if (!run) {
    graph.clear();
    setText(byId("run-title"), "Run");
    for (const id of ["run-status", "run-actions", "questions"]) byId(id).replaceChildren();
    setText(byId("run-why"), "");
    return;
  }
  const { head, report, events } = run;
  setText(byId("run-title"), head.run);
  drawStatus(head, report);
  // What a person is asked stands below.
  setText(byId("run-why"), report.status === "suspended" ? "" : report.reason ?? "");
  drawActions(head, report);
  drawQuestions(head.run, picture);
  graph.show(picture);
  drawTimeline(report, events);
  drawJournal(events, run.events_left_out);
}

function drawStatus(head, report) {
  const box = byId("run-status");
  if (!box.firstChild) box.append(badge(report.status), el("span", { class: "muted" }));
  setBadge(box.firstChild, report.status);
  const due = report.due_in_ms ? `, due in ${duration(report.due_in_ms)}` : "";
  const who = head.live ? `process ${head.live}` : OVER.includes(report.status) ? "" : "nobody works on it";
  const parts = [`of ${head.workflow}`, who, `objective ${duration(report.objective_ms)}`, report.durability && `durability ${words(report.durability)}`];
  setText(box.lastChild, ` ${parts.filter(Boolean).join(", ")}${due}`);
}

function drawActions(head, report) {
  const actions = [];
  if (!head.live && !DELIVERED.includes(report.status)) actions.push(["resume", "Resume…"]);
  if (head.live || !OVER.includes(report.status)) actions.push(["cancel", "Cancel…"]);
  keyed(byId("run-actions"), actions, ([action]) => `${head.run}/${action}`,
    ([action, label]) => el("button", { type: "button", "data-action": action, onclick: () => act(head.run, [action]) }, label), () => {});
}

function drawQuestions(run, { nodes }) {
  const asked = nodes.filter((node) => node.status === "suspended");
  keyed(byId("questions"), asked, (node) => `${run}/${node.step}`,
    ({ step }) => el("li", {}, badge("suspended"), el("span"), el("button", { type: "button", onclick: () => act(run, ["approve", "reject"], step) }, "Decide…")),
    (item, { step, prompt }) => setText(item.children[1], `${step}: ${prompt ?? "waits for a decision"}`));
}

/** A row per step: what it did when, and beneath it how its breaker stood. */
function drawTimeline(report, events) {
  const first = events[0]?.at_ms ?? 0;
  const isOver = OVER.includes(report.status);
  const last = isOver ? events.at(-1)?.at_ms ?? first : Date.now();
  const span = Math.max(1, last - first);
  const rows = report.steps.map((step) => ({ ...step, spans: spans(step.name, events, last), moves: moves(step.agent, events, last) }));
  keyed(byId("timeline"), rows, (row) => `${report.run}/${row.name}`, makeTrack, (node, row) => {
    const [name, track, text] = node.children;
    setText(name, row.name);
    const place = ([from, to]) => [((from - first) / span) * 100, Math.max(0.4, ((to - from) / span) * 100)];
    segments(track, [...row.spans.map((it) => ({ ...it, kind: "step" })), ...row.moves.map((it) => ({ ...it, kind: "breaker" }))], place, first);
    const told = row.spans.map(({ name: word, at: [from, to] }) => (to > from ? `${words(word)} ${duration(to - from)}` : words(word)));
    setText(text, told.slice(-3).join(", ") || words(row.status));
    setAttribute(text, "title", told.join(", "));
  });
}

function makeTrack() {
  return el("div", { class: "track-row" }, el("span", { class: "name" }), el("div", { class: "track" }), el("span", { class: "muted" }));
}

function segments(track, all, place, first) {
  keyed(track, all, (it) => `${it.kind}/${it.name}/${it.at[0]}`, () => el("i"), (node, it) => {
    const [left, width] = place(it.at);
    node.className = `${it.kind} s-${it.name}`;
    node.style.left = `${left}%`;
    node.style.width = `${Math.min(width, 100 - left)}%`;
    setAttribute(node, "title", `${it.kind === "breaker" ? "breaker " : ""}${words(it.name)} from ${duration(it.at[0] - first)} to ${duration(it.at[1] - first)}`);
  });
}

function spans(step, events, last) {
  const found = [];
  let open = null;
  const close = (at) => {
    if (open) found.push({ name: open.name, at: [open.at, at] });
    open = null;
  };
  for (const { at_ms: at, event } of events) {
    if (event.step !== step) continue;
    const name = { step_started: "running", step_waiting: "waiting", step_shielded: "shielded", step_suspended: "suspended" }[event.kind];
    if (name && open?.name === name && name !== "running") continue;
    if (name) {
      close(at);
      open = { name, at };
    } else if (event.kind === "step_ended") {
      close(at);
      found.push({ name: event.status, at: [at, at] });
    }
  }
  close(last);
  return found;
}

function moves(agent, events, last) {
  const found = [];
  let open = null;
  for (const { at_ms: at, event } of events) {
    if (event.kind !== "breaker_moved" || event.breaker !== agent) continue;
    if (open) found.push({ name: open.name, at: [open.at, at] });
    open = event.to === "closed" ? null : { name: event.to, at };
  }
  if (open) found.push({ name: open.name, at: [open.at, last] });
  return found;
}

function drawJournal(events, leftOut) {
  const begin = events[0]?.at_ms ?? 0;
  setText(byId("journal-count"), `${events.length + leftOut} events${leftOut ? `, the last ${events.length} here` : ""}`);
  if (!byId("journal-box").open) return;
  keyed(byId("journal"), events.slice(-400), (it) => it.seq, () => el("li", {}, el("time"), el("span")), (item, it) => {
    setText(item.firstChild, `${((it.at_ms - begin) / 1000).toFixed(2)} s`);
    setText(item.lastChild, it.text);
  });
}
