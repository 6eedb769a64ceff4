"use strict";
// Which groups are open, and the boxes and edges that are seen then.

// At the start, groups are opened from the outside in while so few boxes are seen.
const FIRST_BOXES = 40;

class Folding {
  constructor(graph) {
    this.graph = graph;
    this.open = new Set([0]);
    this.children = graph.groups.map(() => ({ nodes: [], groups: [] }));
    graph.groups.forEach(([, parent], group) => group && this.children[parent].groups.push(group));
    graph.nodes.forEach((node, index) => this.children[node.group].nodes.push(index));
    this.weights = false;
    this.first = graph.groups.map(() => Infinity);
    this.counts = graph.groups.map(() => 0);
    graph.nodes.forEach((node, index) => {
      for (const group of this.around(node.group)) {
        this.first[group] = Math.min(this.first[group], index);
        if (node.kind === "operator") this.counts[group]++;
      }
    });
    this.openAtStart();
  }

  openAtStart() {
    let level = [0];
    while (level.length) {
      const next = level.flatMap((group) => this.children[group].groups);
      next.forEach((group) => this.open.add(group));
      if (this.seen() > FIRST_BOXES) {
        next.forEach((group) => this.open.delete(group));
        return;
      }
      level = next;
    }
  }

  // A group and the groups around it, the innermost first.
  around(group) {
    const found = [];
    for (let at = group; at >= 0; at = this.graph.groups[at][1]) found.push(at);
    return found;
  }

  seen(group = 0) {
    const inner = this.children[group].groups.map((child) => (this.open.has(child) ? this.seen(child) : 1));
    return inner.reduce((sum, count) => sum + count, this.children[group].nodes.filter((n) => this.shows(n)).length);
  }

  shows(node) {
    return this.weights || this.graph.nodes[node].kind !== "weight";
  }

  toggle(group) {
    if (!this.open.delete(group)) this.open.add(group);
  }

  all(open) {
    this.open = new Set(open ? this.graph.groups.keys() : [0]);
  }

  reveal(node) {
    this.around(this.graph.nodes[node].group).forEach((group) => this.open.add(group));
    if (this.graph.nodes[node].kind === "weight") this.weights = true;
  }

  // The box that a node is seen in: `n3` for itself, `g2` for the outermost closed group around it.
  box(node) {
    const closed = this.around(this.graph.nodes[node].group).filter((group) => !this.open.has(group));
    return closed.length ? `g${closed.at(-1)}` : `n${node}`;
  }

  // The nodes and groups of an open group, as names of boxes in execution order.
  items(group) {
    const { nodes, groups } = this.children[group];
    const found = nodes.filter((node) => this.shows(node)).map((node) => [node, `n${node}`]);
    found.push(...groups.map((child) => [this.first[child], `g${child}`]));
    return found.sort((a, b) => a[0] - b[0]).map(([, name]) => name);
  }

  // One edge per pair of boxes that are seen: its types, and its legs, one for each open group that it crosses.
  edges() {
    const found = new Map();
    this.graph.nodes.forEach((node, target) => {
      for (const [source, type] of node.from) {
        if (!this.shows(source)) continue;
        const [from, to] = [this.box(source), this.box(target)];
        if (from === to) continue;
        const key = `${from} ${to}`;
        if (!found.has(key)) found.set(key, { from, to, legs: this.legs(from, to), types: [], weight: true });
        const edge = found.get(key);
        edge.weight &&= this.graph.nodes[source].kind === "weight";
        if (!edge.types.includes(type)) edge.types.push(type);
      }
    });
    return [...found.values()];
  }

  // The way from one box to another: out of the groups around the first by ports, then into those of the second.
  legs(from, to) {
    const [above, below] = [this.containers(from), this.containers(to)];
    let depth = 0;
    while (depth + 1 < Math.min(above.length, below.length) && above[depth + 1] === below[depth + 1]) depth++;
    const item = (path, level, box) => (level + 1 < path.length ? `g${path[level + 1]}` : box);
    const legs = [];
    for (let level = above.length - 1; level > depth; level--)
      legs.push({ group: above[level], from: item(above, level, from), to: `out ${to}` });
    legs.push({ group: above[depth], from: item(above, depth, from), to: item(below, depth, to) });
    for (let level = depth + 1; level < below.length; level++)
      legs.push({ group: below[level], from: `in ${from}`, to: item(below, level, to) });
    return legs;
  }

  // The groups around a box, the outermost first.
  containers(box) {
    const index = Number(box.slice(1));
    const inner = box[0] === "g" ? this.graph.groups[index][1] : this.graph.nodes[index].group;
    return this.around(inner).reverse();
  }
}
