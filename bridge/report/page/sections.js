"use strict";
// The other sections: tables of facts, weights, verification, profile, and StableHLO beside its source.

function summarySection({ facts, inputs, outputs, operators, gaps }) {
  const ends = [...inputs.map((row) => ["input", ...row]), ...outputs.map((row) => ["output", ...row])];
  section(
    "summary",
    "Summary",
    element(
      "div",
      { class: "columns" },
      element("div", {}, element("h3", {}, "Program"), table([], facts, "facts")),
      element("div", {}, element("h3", {}, "Inputs and outputs"), table(["", "name", "type"], ends)),
      element("div", {}, element("h3", {}, "Operators"), bars(operators)),
    ),
    ...(gaps.length ? [element("h3", {}, "On ATen, and why"), table(["node", "operator", "source line", "reason"], gaps)] : []),
  );
}

function weightsSection({ rows, more }) {
  if (!rows.length) return;
  const made = section("weights", `Weights`, table(["name", "kind", "type", "elements", "bytes", "share"], rows.map(shared)));
  if (more) made.append(element("p", { class: "hint" }, `${more.toLocaleString("en")} more are not listed.`));
}

function shared([name, kind, type, elements, bytes, share]) {
  return [name, kind, type, elements, bytes, meter(share)];
}

function meter(share) {
  const bar = drawn("rect", { width: 100 * share, height: 10, class: "bar" });
  const label = `${(100 * share).toFixed(1)}%`;
  return element("span", { class: "share" }, drawn("svg", { width: 100, height: 10, "aria-hidden": true }, bar), ` ${label}`);
}

function bars(counts) {
  const most = Math.max(1, ...counts.map(([, count]) => count));
  return element(
    "div",
    { class: "scroll bars" },
    element(
      "table",
      {},
      element(
        "tbody",
        {},
        ...counts.map(([name, count]) =>
          element(
            "tr",
            {},
            element("td", {}, element("code", {}, name)),
            element("td", { class: "number" }, count),
            element("td", {}, drawn("svg", { width: 200, height: 10 }, drawn("rect", { width: (200 * count) / most, height: 10, class: "bar" }))),
          ),
        ),
      ),
    ),
  );
}

function verificationSection(verification) {
  if (!verification) return;
  const { reference, engines, decades, passed } = verification;
  const verdict = element("p", { class: passed ? "passed" : "failed" }, passed ? "PASSED" : "FAILED");
  const made = section("verification", "Verification", element("p", {}, `Compared with ${reference}.`), verdict);
  for (const engine of engines) {
    const rows = engine.values.map((value) => [
      value.name, value.type, value.error, value.mean, histogram(value.histogram, decades), value.problem || "equal",
    ]);
    made.append(element("h3", {}, `${engine.engine}: ${engine.passed ? "PASSED" : "FAILED"}`));
    if (engine.problem) made.append(element("p", { class: "failed" }, engine.problem));
    made.append(table(["value", "type", "largest error", "mean error", "absolute errors", "verdict"], rows));
  }
}

// Elements by the size of their error: the first bar has those without one.
function histogram(counts, decades) {
  if (!counts.length) return "";
  const total = counts.reduce((sum, count) => sum + count, 0);
  const names = ["0", ...decades.map((decade) => `below 1e${decade}`), "more"];
  const [step, height] = [14, 48];
  const made = drawn("svg", { width: counts.length * step, height: height + 12, class: "histogram" });
  counts.forEach((count, index) => {
    const size = count ? Math.max(2, (height * count) / total) : 0;
    const tip = `${names[index]}: ${count.toLocaleString("en")} of ${total.toLocaleString("en")}`;
    const bar = { x: index * step + 1, y: height - size, width: step - 2, height: size, class: index ? "bar" : "bar none" };
    made.append(drawn("rect", bar, drawn("title", {}, tip)));
  });
  const ends = [[names[0], 0], [`1e${decades[0]}`, 1], [`1e${decades.at(-1)}`, counts.length - 2]];
  for (const [text, index] of ends) made.append(drawn("text", { x: index * step, y: height + 10 }, text));
  return made;
}

function stablehloSection(segments) {
  if (!segments.length) return;
  const made = section("stablehlo", "StableHLO beside the source");
  for (const { index, parts, notice } of segments) {
    const body = element("tbody", {});
    const details = element("details", {}, element("summary", {}, `segment ${index}`));
    details.append(element("div", { class: "scroll" }, element("table", { class: "beside" }, body)));
    if (notice) details.append(element("p", { class: "hint" }, notice));
    details.addEventListener("toggle", () => {
      if (!body.children.length) body.append(...parts.map(beside));
    });
    made.append(details);
  }
}

function beside([node, place, source, text]) {
  const left = element("td", { class: "place" }, element("b", {}, node), element("div", {}, place), element("code", {}, source));
  return element("tr", {}, left, element("td", {}, element("pre", {}, text)));
}

function profileSection(profile) {
  if (!profile.length) return;
  section("profile", "Profile", ...profile.map(profileTable));
}

function profileTable({ title, heads, rows }) {
  const at = heads.indexOf("share");
  const cells = rows.map((row) => row.map((cell, index) => (index === at ? meter(cell) : cell)));
  return element("div", {}, element("h3", {}, title), table(heads, cells));
}
