"use strict";
// Elements with text. All text goes through textContent, because names come from a file.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return made;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

// Runs `act` on a click, and on the Enter key where the element has the focus.
function pressable(act) {
  return {
    tabindex: 0,
    role: "button",
    onclick: act,
    onkeydown: (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        act(event);
      }
    },
  };
}

// Whole numbers in full, others with three digits.
function readable(number) {
  if (Number.isInteger(number)) return number.toLocaleString("en");
  return Math.abs(number) < 1e-3 ? number.toExponential(2) : String(Number(number.toPrecision(3)));
}

function table(heads, rows, className = "") {
  const cell = (tag) => (value) =>
    typeof value === "number" ? element(tag, { class: "number" }, readable(value)) : element(tag, {}, value);
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      { class: className },
      element("thead", {}, element("tr", {}, ...heads.map(cell("th")))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell("td"))))),
    ),
  );
}

function section(id, title, ...children) {
  document.getElementById("contents").append(element("a", { href: `#${id}` }, title));
  const made = element("section", { id }, element("h2", {}, title), ...children);
  document.getElementById("sections").append(made);
  return made;
}
