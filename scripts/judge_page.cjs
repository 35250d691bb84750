// What judges of pages have in common: judge_report.cjs, judge_view.cjs.
"use strict";

const fs = require("fs");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

function check(is, what) {
  if (!is) throw new Error(what);
}

// Serious faults of accessibility in a colour scheme are errors; the names of the others are returned.
async function accessible(page, scheme) {
  await page.emulateMedia({ colorScheme: scheme });
  // The page's policy lets nothing in: axe comes by the debugger.
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const grave = found.violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const told = grave.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 120) + (node.failureSummary ?? "")).join(" | ")}`);
  check(grave.length === 0, `${scheme}: ${told.join("\n")}`);
  return found.violations.map(({ id }) => id);
}

// A list that grows by what goes wrong in a page: errors, warnings that are not `harmless`, requests that are not `allowed`.
function wrongs(page, allowed, harmless = () => false) {
  const wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !harmless(message.text())) wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!allowed(request.url())) wrong.push(`request: ${request.url()}`);
  });
  return wrong;
}

module.exports = { check, accessible, wrongs };
