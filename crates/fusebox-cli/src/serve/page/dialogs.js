// Dialogs: an action with its reason, the token, the keys.

import { post } from "./api.js";
import { byId, el, setText } from "./dom.js";

const BREAKER = {
  trip: ["Trip", "open it as a failure would; it comes back by itself"],
  "force-open": ["Force open", "refuse every call until it is released or the time is over"],
  disable: ["Disable", "let every call through, unjudged"],
  "metrics-only": ["Metrics only", "let every call through and judge it, without consequence"],
  release: ["Release", "lift what was forced; one that opened by itself is tried at once"],
};
const RUN = {
  resume: ["Resume", "go on in a process of its own, which outlives this page and its server"],
  cancel: ["Cancel", "stop it; what is finished is kept"],
  approve: ["Approve", "the step goes on with the next resume"],
  reject: ["Reject", "the step has failed"],
};
const TIMED = ["force-open", "disable", "metrics-only"];

let done = () => {};
let current = null;

export function start(onDone) {
  done = onDone;
  byId("act-choices").addEventListener("change", choose);
  byId("act-cancel").addEventListener("click", () => byId("act").close());
  byId("act").querySelector("form").addEventListener("submit", submit);
  byId("help-close").addEventListener("click", () => byId("help").close());
  byId("help-button").addEventListener("click", help);
}

export function help() {
  byId("help").showModal();
}

export function forBreaker({ agent, state, reason }, user) {
  const actions = { closed: ["trip", "force-open", "disable", "metrics-only"], open: ["release", "force-open", "disable"], half_open: ["release", "trip", "force-open"] };
  open({
    title: agent,
    about: `Its breaker is ${state.replace("_", " ")}${reason ? `: ${reason}` : ""}. Every engine here that has it does it.`,
    choices: (actions[state] ?? ["release", "force-open", "disable"]).map((name) => [name, ...BREAKER[name]]),
    path: (action) => `/api/breakers/${encodeURIComponent(agent)}/${action}`,
    user,
  });
}

export function forRun(run, actions, step, user) {
  open({
    title: step ? `${step} of ${run}` : run,
    about: "",
    choices: actions.map((name) => [name, ...RUN[name]]),
    path: (action) => `/api/runs/${encodeURIComponent(run)}/${action}`,
    step,
    user,
  });
}

function open(what) {
  current = what;
  setText(byId("act-title"), what.title);
  setText(byId("act-about"), what.about);
  setText(byId("act-error"), "");
  byId("act-reason").value = "";
  byId("act-by").value = localStorage.getItem("fusebox-by") ?? what.user ?? "";
  const choices = what.choices.map(([name, label, text], n) => {
    const input = el("input", { type: "radio", name: "action", value: name, required: "" });
    input.checked = n === 0;
    return el("label", { class: "choice" }, input, el("span", {}, el("b", {}, label), ` ${text}`));
  });
  byId("act-choices").replaceChildren(el("legend", {}, "What to do"), ...choices);
  choose();
  byId("act").showModal();
  byId("act-choices").querySelector("input").focus();
}

const chosen = () => byId("act").querySelector("input[name=action]:checked")?.value;

function choose() {
  byId("act-for-label").hidden = !TIMED.includes(chosen());
}

async function submit(event) {
  event.preventDefault();
  const action = chosen();
  const body = { reason: byId("act-reason").value.trim(), by: byId("act-by").value.trim() };
  if (TIMED.includes(action) && byId("act-for").value) body.for_ms = Number(byId("act-for").value);
  if (current.step) body.step = current.step;
  byId("act-go").disabled = true;
  try {
    const answer = await post(current.path(action), body);
    localStorage.setItem("fusebox-by", body.by);
    byId("act").close();
    done(said(action, answer));
  } catch (error) {
    setText(byId("act-error"), error.message);
  } finally {
    byId("act-go").disabled = false;
  }
}

function said(action, answer) {
  if (answer.agent) return `${action.replace("-", " ")} ${answer.agent}: done in process ${answer.processes.join(", ")}`;
  if (answer.step) return `${answer.step} of ${answer.run}: ${action === "approve" ? "approved" : "rejected"}; resume the run to go on`;
  return `${answer.run}: ${answer.status}${answer.process ? `, process ${answer.process}` : ""}`;
}

/** Asks for the token; answers when one was entered. */
export function askForToken(wasWrong) {
  const dialog = byId("token");
  setText(byId("token-error"), wasWrong ? "That is not the token of this server." : "");
  if (!dialog.open) dialog.showModal();
  return new Promise((enter) => {
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      const value = byId("token-value").value.trim();
      byId("token-value").value = "";
      dialog.close();
      enter(value);
    };
    // Without it the page has nothing to show.
    dialog.oncancel = (event) => event.preventDefault();
  });
}
