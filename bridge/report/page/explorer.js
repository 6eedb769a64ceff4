"use strict";
// The section of the graph: the picture, the panel, the search and the buttons.

const MOST_FOUND = 30;

function explorer(graph) {
  const detail = new Detail(graph, (node) => picture.choose(node, true));
  const picture = new Picture(graph, (node) => {
    detail.show(node);
    history.replaceState(null, "", `#node=${node}`);
  });
  const again = (change) => () => {
    change();
    picture.draw();
    if (picture.selected !== null) picture.show(`[data-box="n${picture.selected}"]`);
  };
  const weights = element("input", { type: "checkbox", id: "show-weights", checked: picture.folding.weights });
  weights.addEventListener("change", again(() => (picture.folding.weights = weights.checked)));
  const found = element("ul", { class: "found" });
  const search = element("input", { type: "search", id: "search", placeholder: "Find a node", "aria-label": "Find a node" });
  search.addEventListener("input", () => {
    found.replaceChildren(...matches(graph, search.value).map((node) => hit(graph, node, picture)));
  });
  section(
    "graph",
    "Graph",
    element(
      "div",
      { class: "tools" },
      search,
      button("unfold", "Unfold all", again(() => picture.folding.all(true))),
      button("fold", "Fold all", again(() => picture.folding.all(false))),
      button("closer", "+", () => picture.scale(1.25)),
      button("farther", "−", () => picture.scale(0.8)),
      element("label", {}, weights, " weights"),
      legend(graph),
    ),
    found,
    element("div", { class: "explorer" }, picture.frame, detail.panel),
  );
  const centre = () => picture.frame.scrollTo((picture.frame.scrollWidth - picture.frame.clientWidth) / 2, 0);
  centre();
  const linked = () => {
    const named = /^#node=(\d+)$/.exec(location.hash);
    if (named && graph.nodes[Number(named[1])]) picture.choose(Number(named[1]), true);
  };
  window.addEventListener("hashchange", linked);
  linked();
}

function matches(graph, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const fits = (node) => `${node.title} ${node.operator} ${node.module}`.toLowerCase().includes(wanted);
  return [...graph.nodes.keys()].filter((index) => fits(graph.nodes[index])).slice(0, MOST_FOUND);
}

function hit(graph, index, picture) {
  const { title, operator, module } = graph.nodes[index];
  const text = [title, operator, module].filter((part) => part).join(" · ");
  return element("li", pressable(() => picture.choose(index, true)), text);
}

function button(id, text, act) {
  return element("button", { type: "button", id, onclick: act }, text);
}

function legend(graph) {
  const placements = ["StableHLO", "ATen"].filter((name) => graph.nodes.some((node) => node.placement === name));
  return element("span", { class: "legend" }, ...placements.map((name) => element("span", { class: `key ${name}` }, name)));
}
