// The graph of a run: ranks from left to right, on a narrow screen from top to bottom.

import { duration, sign, svg, tone, words } from "./dom.js";

/** From left to right, and from top to bottom; `letters` fit the lines of a node. */
const WIDE = { width: 190, height: 74, rank: 52, row: 20, letters: [20, 25, 26], down: false };
const TALL = { width: 158, height: 74, rank: 34, row: 12, letters: [16, 19, 19], down: true };
const MARGIN = 8;
const NARROW = 560;
/** The smallest part of its size a graph is shown at; below that it scrolls. */
const SMALLEST = 0.72;

/** Draws into `box`; what stays the same is not drawn again. */
export class Graph {
  constructor(box, onPick) {
    this.box = box;
    this.onPick = onPick;
    this.nodes = new Map();
    this.edges = [];
    this.shape = "";
  }

  show(document) {
    this.way = this.box.clientWidth < NARROW ? TALL : WIDE;
    const shape = JSON.stringify([document.run, this.way.down, document.nodes.map((it) => it.step), document.edges]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.build(document);
    }
    const blocked = new Set();
    for (const node of document.nodes) {
      update(this.nodes.get(node.step), node, this.way.letters);
      if (["shielded", "waiting", "failed", "cancelled"].includes(node.status)) blocked.add(node.step);
    }
    for (const { edge, path } of this.edges) path.classList.toggle("blocked", blocked.has(edge.from));
  }

  clear() {
    this.shape = "";
    this.box.replaceChildren();
  }

  build({ run, nodes, edges }) {
    const { way } = this;
    const { places, paths } = layout(nodes, edges, way);
    const all = [...places.values(), ...paths.flat()];
    const width = Math.max(...all.map((at) => at.x)) + way.width + MARGIN;
    const height = Math.max(...all.map((at) => at.y)) + way.height + MARGIN;
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: way.down ? "tall" : "wide", role: "list", "aria-label": `Steps of ${run}` }, definitions());
    root.style.maxWidth = `${width}px`;
    root.style.minWidth = `${width * (way.down ? 1 : SMALLEST)}px`;
    this.edges = edges.map((edge, n) => {
      const path = svg("path", { class: `edge ${edge.kind}`, d: curve(paths[n], way), "marker-end": "url(#arrow)" });
      root.append(path);
      return { edge, path };
    });
    this.nodes = new Map(nodes.map((node) => [node.step, this.node(node, places.get(node.step))]));
    root.append(...this.nodes.values());
    this.box.replaceChildren(root);
  }

  node({ step, agent }, { x, y }) {
    const pick = () => agent && this.onPick(agent);
    const key = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pick();
    };
    const line = (n) => svg("text", { x: n === 1 && this.way.down ? 11 : 30, y: 22 + n * 20, class: `line${n}` });
    return svg("g", { class: "node", role: "listitem", tabindex: 0, transform: `translate(${x} ${y})`, "data-step": step, onclick: pick, onkeydown: key },
      svg("title"),
      svg("rect", { class: "body", width: this.way.width, height: this.way.height, rx: 8 }),
      svg("rect", { class: "hatch", width: this.way.width, height: this.way.height, rx: 8 }),
      svg("svg", { x: 9, y: 10, width: 15, height: 15, class: "icon" }, svg("use")),
      line(0), line(1), line(2),
      svg("svg", { x: 9, y: 51, width: 13, height: 13, class: "icon breaker" }, svg("use")));
  }
}

function update(group, node, letters) {
  const { step, status, breaker, agent, shielded_by: by, due_in_ms: due } = node;
  const [title, , , stepIcon, first, second, third, breakerIcon] = group.children;
  const state = by ? `shielded by ${by}` : words(status);
  const time = status === "succeeded" && node.duration_ms !== null ? ` in ${duration(node.duration_ms)}` : "";
  const wait = due ? `, due in ${duration(due)}` : "";
  const protection = agent ? `${agent}: ${words(breaker)}${wait}` : "a person decides";
  group.dataset.status = status;
  group.dataset.breaker = breaker;
  group.dataset.tone = tone(status);
  stepIcon.firstChild.setAttribute("href", `#i-${sign(status)}`);
  breakerIcon.firstChild.setAttribute("href", agent ? `#i-${breaker}` : "#i-suspended");
  breakerIcon.dataset.tone = tone(agent ? breaker : "suspended");
  put(first, short(step, letters[0]));
  put(second, short(state + time, letters[1]));
  put(third, short(protection, letters[2]));
  const why = [node.reason, node.breaker_reason, node.prompt, ...node.particulars].filter(Boolean).join("; ");
  const all = `${step}: ${state}${time}, breaker of ${protection}${why ? `. ${why}` : ""}`;
  put(title, all);
  if (group.getAttribute("aria-label") !== all) group.setAttribute("aria-label", all);
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function definitions() {
  return svg("defs", {},
    svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M0 0L8 4L0 8z" })),
    svg("pattern", { id: "hatching", width: 9, height: 9, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("path", { d: "M0 0v9" })));
}

/**
 * Longest path from a start gives the rank; within a rank, the mean place of what a step takes from. An edge over
 * several ranks has a place of its own in each between, so that it passes no node.
 */
function layout(nodes, edges, way) {
  const from = new Map(nodes.map((node) => [node.step, []]));
  for (const edge of edges) from.get(edge.to)?.push(edge.from);
  const rank = new Map();
  // The nodes come in topological order.
  for (const { step } of nodes) rank.set(step, Math.max(-1, ...from.get(step).map((it) => rank.get(it) ?? -1)) + 1);
  const ranks = [];
  for (const { step } of nodes) (ranks[rank.get(step)] ??= []).push(step);
  const chains = edges.map((edge, n) => {
    const chain = [edge.from];
    for (let between = rank.get(edge.from) + 1; between < rank.get(edge.to); between += 1) {
      const bend = `${n}\n${between}`;
      from.set(bend, [chain.at(-1)]);
      ranks[between].push(bend);
      chain.push(bend);
    }
    return [...chain, edge.to];
  });
  const places = place(ranks, from, way);
  return { places, paths: chains.map((chain) => chain.map((it) => places.get(it))) };
}

function place(ranks, from, way) {
  const order = new Map();
  const mean = (step) => {
    const before = from.get(step).map((it) => order.get(it) ?? 0);
    return before.length ? before.reduce((a, b) => a + b, 0) / before.length : 0;
  };
  const most = Math.max(...ranks.map((steps) => steps.length));
  const places = new Map();
  ranks.forEach((steps, along) => {
    steps.sort((a, b) => mean(a) - mean(b));
    steps.forEach((step, n) => {
      order.set(step, n - (steps.length - 1) / 2);
      const across = order.get(step) + (most - 1) / 2;
      places.set(step, way.down
        ? { x: MARGIN + across * (way.width + way.row), y: MARGIN + along * (way.height + way.rank) }
        : { x: MARGIN + along * (way.width + way.rank), y: MARGIN + across * (way.height + way.row) });
    });
  });
  return places;
}

/** From the end of the first place to the beginning of the last, straight through those between. */
function curve(chain, way) {
  const [along, across] = way.down ? ["y", "x"] : ["x", "y"];
  const [length, breadth] = way.down ? [way.height, way.width] : [way.width, way.height];
  const point = (a, b) => (way.down ? `${b} ${a}` : `${a} ${b}`);
  const middle = (at) => at[across] + breadth / 2;
  let path = `M${point(chain[0][along] + length, middle(chain[0]))}`;
  chain.slice(1).forEach((next, n) => {
    const before = chain[n];
    const isLast = n === chain.length - 2;
    const [a, b] = [before[along] + length, next[along] - (isLast ? 2 : 0)];
    const bend = Math.max(16, (b - a) / 2);
    path += `C${point(a + bend, middle(before))} ${point(b - bend, middle(next))} ${point(b, middle(next))}`;
    if (!isLast) path += `L${point(next[along] + length, middle(next))}`;
  });
  return path;
}
