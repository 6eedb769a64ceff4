"use strict";
// The panel beside the graph: one node, with its types, its place and its source line.

class Detail {
  constructor(graph, choose) {
    this.graph = graph;
    this.choose = choose;
    this.panel = element("aside", { id: "detail", "aria-live": "polite" });
    this.panel.append(element("p", { class: "hint" }, "Press a box to see it here, or a group to fold it."));
    this.readers = new Map();
    graph.nodes.forEach((node, index) => {
      for (const [source] of node.from) {
        if (!this.readers.has(source)) this.readers.set(source, new Set());
        this.readers.get(source).add(index);
      }
    });
  }

  show(index) {
    const { texts, nodes, frames } = this.graph;
    const node = nodes[index];
    const rows = [
      ["Kind", node.kind],
      ["Operator", node.operator],
      ["Module", node.module],
      ["Gives", node.types.length ? list(node.types.map((type) => texts[type])) : ""],
      ["Arguments", node.arguments ? element("code", {}, node.arguments) : ""],
      ["Reads", this.links(node.from.map(([source]) => source))],
      ["Read by", this.links(this.readers.get(index) || [])],
      ["Runs on", node.placement ? `${node.placement}, segment ${node.segment}` : ""],
      ["Reason", node.reason],
      ["Holds", node.nested ? element("pre", {}, node.nested) : ""],
    ].filter(([, value]) => value);
    const facts = rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
    const lines = node.frames.map((frame) => frames[frame]).reverse();
    this.panel.replaceChildren(element("h3", {}, node.title), element("dl", {}, ...facts));
    if (lines.length) this.panel.append(element("h4", {}, "Source, innermost first"), stack(lines));
  }

  links(indices) {
    const made = [...new Set(indices)].map((index) =>
      element("li", {}, element("a", { href: `#node=${index}`, onclick: (event) => {
        event.preventDefault();
        this.choose(index);
      } }, this.graph.nodes[index].title)),
    );
    return made.length ? element("ul", {}, ...made) : "";
  }
}

function list(texts) {
  return element("ul", {}, ...texts.map((text) => element("li", {}, element("code", {}, text))));
}

function stack(lines) {
  return element(
    "ol",
    { class: "stack" },
    ...lines.map(([file, line, method, source]) =>
      element("li", {}, element("span", { class: "place" }, `${file}:${line} in ${method}`), element("code", {}, source)),
    ),
  );
}
