"use strict";
// The graph as SVG: boxes, open groups as frames around them, and edges.

const LINE = 15;
const PADDING = 14;
const TITLE = 24;
const WIDEST = 34;
const CHARACTER = 6.7;
// Where an edge enters or leaves an open group.
const PORT = { width: 6, height: 0 };

class Picture {
  constructor(graph, select) {
    this.graph = graph;
    this.select = select;
    this.folding = new Folding(graph);
    this.zoom = 1;
    this.selected = null;
    this.svg = drawn("svg", { class: "graph", "aria-label": "graph of the program" });
    this.frame = element("div", { class: "frame" }, this.svg);
    this.draw();
  }

  draw() {
    this.svg.replaceChildren();
    this.svg.append(marker());
    this.boxes = new Map();
    this.legs = new Map();
    const edges = this.folding.edges();
    for (const leg of edges.flatMap((edge) => edge.legs)) {
      if (!this.legs.has(leg.group)) this.legs.set(leg.group, []);
      this.legs.get(leg.group).push(leg);
    }
    const layout = this.arrange(0);
    this.edges = drawn("g", {});
    const shapes = drawn("g", {});
    this.place(layout, PADDING, PADDING, shapes);
    this.svg.append(shapes, this.edges);
    const [leaving, coming] = ["from", "to"].map((end) => counted(edges.filter((edge) => !edge.weight), end));
    for (const edge of edges) {
      const places = this.connect(edge);
      if (edge.weight) continue;
      // Labels at an end where several edges meet would hide one another.
      if (leaving.get(edge.from) === 1) this.label(edge, places[0]);
      else if (coming.get(edge.to) === 1) this.label(edge, places[1]);
    }
    this.size = [layout.width + 2 * PADDING, layout.height + 2 * PADDING];
    this.scale(1);
    this.mark();
  }

  // Makes it larger or smaller, around the middle of what is seen.
  scale(factor) {
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.frame;
    const middle = [scrollLeft + clientWidth / 2, scrollTop + clientHeight / 2].map((at) => at / this.zoom);
    this.zoom = Math.min(3, Math.max(0.1, this.zoom * factor));
    const [width, height] = this.size;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", width * this.zoom);
    this.svg.setAttribute("height", height * this.zoom);
    const [x, y] = middle.map((at) => at * this.zoom);
    this.frame.scrollTo(x - clientWidth / 2, y - clientHeight / 2);
  }

  // The layout of an open group: its items with their sizes and, where open, their own layouts.
  arrange(group) {
    const legs = this.legs.get(group) || [];
    const tops = [...new Set(legs.map((leg) => leg.from).filter((name) => name.startsWith("in ")))];
    const bottoms = [...new Set(legs.map((leg) => leg.to).filter((name) => name.startsWith("out ")))];
    const names = [...tops, ...this.folding.items(group), ...bottoms];
    const parts = names.map((name) => (name.includes(" ") ? PORT : this.part(name)));
    const index = new Map(names.map((name, at) => [name, at]));
    const pairs = legs.map((leg) => [index.get(leg.from), index.get(leg.to)]);
    const sizes = parts.map((part) => [part.width, part.height]);
    return { names, parts, legs, index, ...layered(sizes, pairs, tops.length, bottoms.length) };
  }

  part(name) {
    const group = name[0] === "g" ? Number(name.slice(1)) : null;
    if (group === null || !this.folding.open.has(group)) {
      const lines = this.lines(name);
      const width = Math.max(...lines.map((line) => line.length)) * CHARACTER + 22;
      return { width: Math.max(60, width), height: lines.length * LINE + 12, lines, group };
    }
    const inner = this.arrange(group);
    const title = shortened(this.graph.groups[group][0]);
    const width = Math.max(inner.width + 2 * PADDING, title.length * CHARACTER + 50);
    return { width, height: inner.height + PADDING + TITLE, inner, title, group };
  }

  lines(name) {
    const index = Number(name.slice(1));
    if (name[0] === "g") {
      const count = this.folding.counts[index];
      return [`▸ ${shortened(this.graph.groups[index][0])}`, `${count} operator${count === 1 ? "" : "s"}`];
    }
    const { title, operator, types, kind } = this.graph.nodes[index];
    const more = kind === "operator" ? [operator] : types.map((type) => this.graph.texts[type]);
    return [title, ...more.slice(0, 1)].map(shortened);
  }

  place(layout, left, top, into) {
    layout.legs.forEach((leg, number) => {
      const port = (name) => (name.includes(" ") ? layout.passages[layout.index.get(name)] : []);
      const points = [...port(leg.from), ...layout.routes[number], ...port(leg.to)];
      leg.points = points.map(([x, y]) => [left + x, top + y]);
    });
    layout.names.forEach((name, item) => {
      const part = layout.parts[item];
      if (part === PORT) return;
      const [x, y] = layout.centres[item];
      const box = { x: left + x, y: top + y, width: part.width, height: part.height };
      this.boxes.set(name, box);
      const corner = { x: box.x - part.width / 2, y: box.y - part.height / 2, width: part.width, height: part.height };
      if (!part.inner) {
        into.append(this.box(name, part, corner));
        return;
      }
      part.left = box.x - part.inner.width / 2;
      part.top = corner.y + TITLE;
      into.append(this.group(part, corner));
      this.place(part.inner, part.left, part.top, into);
    });
  }

  box(name, part, corner) {
    const node = part.group === null ? this.graph.nodes[Number(name.slice(1))] : null;
    const kind = node ? node.kind : "folded";
    const placement = node ? node.placement : this.graph.groups[part.group][2];
    const act = () => (node ? this.choose(Number(name.slice(1))) : this.toggle(part.group));
    const shape = drawn("rect", { ...corner, rx: node && node.kind !== "operator" ? corner.height / 2 : 5 });
    const texts = part.lines.map((line, at) =>
      drawn("text", { x: corner.x + corner.width / 2, y: corner.y + 17 + at * LINE, class: at ? "small" : "" }, line),
    );
    const attributes = { class: `box ${kind} ${placement || "unplaced"}`, "data-box": name, ...pressable(act) };
    return drawn("g", attributes, shape, ...texts);
  }

  group(part, corner) {
    const placement = this.graph.groups[part.group][2];
    const head = drawn(
      "g",
      { class: "head", "data-head": part.group, ...pressable(() => this.toggle(part.group)) },
      drawn("rect", { x: corner.x, y: corner.y, width: corner.width, height: TITLE - 4, rx: 5 }),
      drawn("text", { x: corner.x + 10, y: corner.y + 14 }, `▾ ${part.title}`),
    );
    return drawn("g", { class: `group ${placement || "module"}` }, drawn("rect", { ...corner, rx: 5 }), head);
  }

  // Draws an edge; gives the places of a label at its start and at its end.
  connect({ from, to, legs, types, weight }) {
    const [above, below] = [this.boxes.get(from), this.boxes.get(to)];
    const end = [below.x, below.y - below.height / 2 - 2];
    const after = [...legs.flatMap((leg) => leg.points), end];
    // Groups can read one another in a circle: an edge that goes up leaves at the top.
    const side = after[0][1] < above.y ? -1 : 1;
    const start = [above.x, above.y + (side * above.height) / 2];
    const points = [start, ...after];
    const names = types.map((type) => this.graph.texts[type]);
    const look = { class: `edge ${weight ? "weight" : "value"}`, "marker-end": "url(#arrow)" };
    const ends = { d: curve(points), "data-from": from, "data-to": to };
    this.edges.append(drawn("path", { ...look, ...ends }, drawn("title", {}, names.join(", "))));
    return [
      [start[0] + 4, start[1] + 12 * side],
      [end[0] + 4, end[1] - 12],
    ];
  }

  label({ types }, [x, y]) {
    const text = types.length > 1 ? `${types.length} types` : shortened(this.graph.texts[types[0]]);
    this.edges.append(drawn("text", { x, y, class: "label" }, text));
  }

  toggle(group) {
    this.folding.toggle(group);
    this.draw();
    this.show(this.folding.open.has(group) ? `[data-head="${group}"]` : `[data-box="g${group}"]`);
  }

  // Selects a node, and opens the groups around it where it is not seen.
  choose(node, reveal = false) {
    if (reveal) {
      this.folding.reveal(node);
      this.draw();
    }
    this.selected = node;
    this.mark();
    if (reveal) this.show(`[data-box="n${node}"]`);
    this.select(node);
  }

  mark() {
    const name = `n${this.selected}`;
    for (const shape of this.svg.querySelectorAll("[data-box]"))
      shape.classList.toggle("selected", shape.dataset.box === name);
    for (const edge of this.edges.querySelectorAll("path"))
      edge.classList.toggle("selected", edge.dataset.from === name || edge.dataset.to === name);
  }

  show(selector) {
    const found = this.svg.querySelector(selector);
    if (!found) return;
    const [box, frame] = [found.getBoundingClientRect(), this.frame.getBoundingClientRect()];
    this.frame.scrollBy(box.x + box.width / 2 - frame.x - frame.width / 2, box.y - frame.y - frame.height / 3);
    found.focus({ preventScroll: true });
  }
}

function shortened(text) {
  return text.length > WIDEST ? `${text.slice(0, WIDEST - 1)}…` : text;
}

function marker() {
  const arrow = drawn("path", { d: "M0,0L8,4L0,8z", class: "arrow" });
  return drawn("marker", { id: "arrow", markerWidth: 8, markerHeight: 8, refX: 7, refY: 4, orient: "auto" }, arrow);
}

function curve(points) {
  let path = `M${points[0]}`;
  for (let at = 1; at < points.length; at++) {
    const [[x0, y0], [x1, y1]] = [points[at - 1], points[at]];
    const middle = (y0 + y1) / 2;
    path += `C${x0},${middle} ${x1},${middle} ${x1},${y1}`;
  }
  return path;
}

function counted(edges, end) {
  const counts = new Map();
  for (const edge of edges) counts.set(edge[end], (counts.get(edge[end]) || 0) + 1);
  return counts;
}
