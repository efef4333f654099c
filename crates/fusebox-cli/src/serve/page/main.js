// The page: asks the server, listens to it, and hands out what comes.

import { follow, get, onTokenNeeded } from "./api.js";
import * as breakers from "./breakers.js";
import * as dialogs from "./dialogs.js";
import { byId, el, icon, keyed, setAttribute, setText, throttled } from "./dom.js";
import * as events from "./events.js";
import * as run from "./run.js";
import * as runs from "./runs.js";

const HEALTH = { healthy: ["ok", "succeeded"], degraded: ["warn", "alert"], unhealthy: ["bad", "failed"] };
const RUN_EVENTS = ["run_started", "run_resumed", "run_ended", "resume_ended", "step_suspended", "step_decided", "engine_found", "engine_gone"];

let overview = { engines: [], user: "" };
let selected = decodeURIComponent(location.hash.match(/^#run=(.+)$/)?.[1] ?? "") || null;
let isChosen = selected !== null;

async function guarded(what) {
  try {
    await what();
    return true;
  } catch (error) {
    setText(byId("said"), error instanceof TypeError ? "the server does not answer" : error.message);
    return false;
  }
}

const refreshOverview = throttled(250, () => guarded(async () => {
  overview = await get("/api/overview");
  showOverview(performance.now());
}));

const refreshRuns = throttled(1000, () => guarded(async () => {
  const document = await get("/api/runs");
  runs.show(document, selected);
  if (!isChosen && runs.first() !== selected) select(runs.first(), false);
}));

const refreshRun = throttled(300, () => guarded(async () => {
  if (!selected) return run.show(null);
  const name = selected;
  const path = encodeURIComponent(name);
  const [document, picture] = await Promise.all([get(`/api/runs/${path}`), get(`/api/graph/${path}`)]);
  if (name === selected) run.show(document, picture);
}));

function select(name, byHand = true) {
  selected = name;
  isChosen ||= byHand;
  if (byHand) history.replaceState(null, "", `#run=${encodeURIComponent(name)}`);
  runs.mark(name);
  refreshRun();
}

function showOverview(at) {
  const { status, engines, reasons } = overview;
  const [tone, sign] = HEALTH[status];
  const badge = byId("health");
  badge.dataset.tone = tone;
  badge.querySelector("use").setAttribute("href", `#i-${sign}`);
  setText(badge.lastElementChild, engines.length ? status : "idle");
  const live = engines.reduce((sum, it) => sum + it.runs.length, 0);
  const plural = (count, one) => `${count} ${one}${count === 1 ? "" : one.endsWith("s") ? "es" : "s"}`;
  setText(byId("tally"), engines.length ? `${plural(engines.length, "process")}, ${plural(live, "run")} worked on` : "no engine runs here");
  keyed(byId("reasons"), reasons.slice(0, 5), (it) => it, (it) => el("li", {}, icon("alert"), it), () => {});
  setAttribute(document.documentElement, "data-health", status);
  breakers.show(overview, at);
}

// Whoever listens to the page is told a few words a second, not every move of five hundred breakers.
let untold = [];
const announce = throttled(1000, async () => {
  const told = untold;
  untold = [];
  if (told.length) setText(byId("live"), told.length > 3 ? `${told.length} changes, the last: ${told.at(-1)}` : told.join(". "));
});

let batch = [];

/** Events of one frame are drawn once. A page that nobody sees has no frames, and time enough. */
function onEvent(event) {
  event.arrived = performance.now();
  batch.push(event);
  if (batch.length > 1) return;
  const takeAll = () => {
    const all = batch;
    batch = [];
    take(all);
  };
  if (document.hidden) setTimeout(takeAll, 250);
  else requestAnimationFrame(takeAll);
}

function take(all) {
  breakers.move(all.filter((it) => it.event.kind === "breaker_moved"));
  for (const event of all) {
    const { kind } = event.event;
    events.add(event);
    if (["breaker_moved", "objective_breached", "run_ended", "step_suspended", "recovered"].includes(kind)) untold.push(event.text);
    if (RUN_EVENTS.includes(kind)) refreshRuns();
    if (event.run === selected || event.run === null) refreshRun();
  }
  events.draw();
  announce();
  refreshOverview();
  measure(all[0].arrived);
}

/** From an event's arrival until what it changed is painted; `performance.getEntriesByName("fusebox-update")` has it. */
function measure(start) {
  // In a frame, what comes after its painting is the next task.
  setTimeout(() => {
    if (performance.getEntriesByName("fusebox-update").length >= 1000) performance.clearMeasures("fusebox-update");
    performance.measure("fusebox-update", { start, end: performance.now() });
  });
}

function onLink(isUp) {
  byId("link").dataset.tone = isUp ? "ok" : "bad";
  setText(byId("link"), isUp ? "live" : "not connected");
  if (isUp) {
    setText(byId("said"), "");
    refreshOverview();
    refreshRuns();
    refreshRun();
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.closest("input, textarea, select");
  if (isTyping) {
    if (event.key === "Escape") {
      // A search field would be emptied after it has lost the focus, and the list drawn whenever it next is.
      event.preventDefault();
      event.target.blur();
    }
    return;
  }
  const sections = { g: "graph", b: "breakers", o: "objectives", r: "runs", e: "events" };
  if (sections[event.key]) jump(byId(sections[event.key]));
  else if (event.key === "/") jump(byId("breakers-filter"));
  else if (event.key === "?") dialogs.help();
  else if (event.key === "p") events.pause();
  else return;
  event.preventDefault();
}

function jump(node) {
  node.focus();
  node.scrollIntoView({ block: "nearest" });
}

onTokenNeeded(shared(dialogs.askForToken));

/** Several requests that find no token ask once. */
function shared(ask) {
  let asking = null;
  return (wasWrong) => (asking ??= ask(wasWrong).finally(() => (asking = null)));
}

const actOnBreaker = (agent) => dialogs.forBreaker(agent, overview.user);
breakers.start(actOnBreaker);
runs.start(select);
run.start((name, actions, step) => dialogs.forRun(name, actions, step, overview.user), (name) => {
  const [agent] = breakers.find(name);
  if (agent) actOnBreaker(agent);
});
events.start();
dialogs.start((text) => {
  setText(byId("said"), text);
  refreshOverview();
  refreshRuns();
  refreshRun();
});
document.addEventListener("keydown", onKey);
addEventListener("resize", refreshRun);
byId("journal-box").addEventListener("toggle", refreshRun);
run.show(null);
follow({ onEvent, onMissed: events.lost, onLink });
setInterval(breakers.tick, 250);
setInterval(() => document.hidden || refreshOverview(), 2000);
setInterval(() => document.hidden || refreshRuns(), 5000);
setInterval(() => document.hidden || refreshRun(), 2000);
