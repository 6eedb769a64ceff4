"use strict";
// Reads the data, and makes each section that it has.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  document.getElementById("title").textContent = data.title;
  if (data.summary) summarySection(data.summary);
  explorer(data.graph);
  if (data.weights) weightsSection(data.weights);
  verificationSection(data.verification);
  profileSection(data.profile || []);
  stablehloSection(data.stablehlo || []);
})();
