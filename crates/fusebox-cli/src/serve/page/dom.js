// Small tools for the page: elements, lists that change as little as possible, words for figures.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with attributes; children are nodes or text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

/** A cell of a table that is one of blocks on a phone, where its label stands before it. */
export function cell(label, attributes = {}) {
  return el("td", { role: "cell", "data-label": label, ...attributes });
}

/** Sets text only where it differs: most of a page stays as it is. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/**
 * Makes the children of `parent` one per item, in order. Children are kept by key, so what did not change is not
 * touched, and whoever has the focus keeps it.
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = parent.keyedChildren ?? new Map();
  const next = new Map();
  const focused = document.activeElement;
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const child = known.get(key) ?? make(item);
    known.delete(key);
    next.set(key, child);
    update(child, item);
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of known.values()) child.remove();
  parent.keyedChildren = next;
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

/** Milliseconds for a person. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const [large, small, size] = ms < 3_600_000 ? ["min", "s", 60_000] : ["h", "min", 3_600_000];
  const rest = Math.floor((ms % size) / (size / 60));
  return `${Math.floor(ms / size)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

/** When the next probe of an agent is due, `since` milliseconds after it was asked. */
export function dueIn({ due_in_ms: due, state }, since) {
  if (due === null) return state === "forced_open" ? "when released" : "";
  return due > since ? duration(due - since) : "now";
}

/** A time of day, or a date where it was another day. */
export function clock(ms) {
  const at = new Date(ms);
  const today = at.toDateString() === new Date().toDateString();
  const time = at.toLocaleTimeString([], { hour12: false });
  return today ? time : `${at.toLocaleDateString()} ${time}`;
}

export const words = (name) => name.replaceAll("_", " ");

/** Calls at once, then no more often than every `ms`, and always once more for what came in between. */
export function throttled(ms, call) {
  let isBusy = false;
  let isAsked = false;
  return async function run() {
    if (isBusy) {
      isAsked = true;
      return;
    }
    isBusy = true;
    const begun = performance.now();
    try {
      await call();
    } finally {
      setTimeout(() => {
        isBusy = false;
        if (isAsked) {
          isAsked = false;
          run();
        }
      }, Math.max(0, ms - (performance.now() - begun)));
    }
  };
}

/** A list that shows so many at once and has a button for more. */
export class Capped {
  constructor(button, step, redraw) {
    this.button = button;
    this.step = step;
    this.limit = step;
    button.addEventListener("click", () => {
      this.limit += this.step;
      redraw();
    });
  }

  cut(items) {
    const hidden = items.length - this.limit;
    this.button.hidden = hidden <= 0;
    if (hidden > 0) setText(this.button, `Show ${Math.min(hidden, this.step)} more of ${hidden}`);
    return items.slice(0, this.limit);
  }
}

/** The badge of a state or status: colour, sign and word say the same. */
export function badge(name) {
  return setBadge(el("span", { class: "badge" }, icon(name), el("span")), name);
}

export function setBadge(node, name) {
  if (node.dataset.name === name) return node;
  node.dataset.name = name;
  node.dataset.tone = tone(name);
  node.querySelector("use").setAttribute("href", `#i-${sign(name)}`);
  setText(node.lastElementChild, words(name));
  return node;
}

export const sign = (name) => (name === "completed" ? "succeeded" : name);

const TONES = {
  closed: "ok", succeeded: "ok", completed: "ok",
  open: "bad", failed: "bad",
  half_open: "warn", degraded: "warn", waiting: "warn",
  forced_open: "hold", suspended: "hold",
  running: "busy",
};

export const tone = (name) => TONES[name] ?? "off";
