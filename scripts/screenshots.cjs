// Makes the pictures of pages in the documents, of a run of `scnas demo`:
//
//   NODE_PATH=… SCNAS_JUDGE_BROWSER=/usr/bin/chromium node scripts/screenshots.cjs SCNAS RUN
//
// NODE_PATH is a folder node_modules with playwright-core (npm); SCNAS is the program. Writes docs/pictures/report.png and view.png.
"use strict";

const path = require("path");
const { spawn } = require("child_process");
const { pathToFileURL } = require("url");
const { chromium } = require("playwright-core");

const PICTURES = path.join(__dirname, "../docs/pictures");
// Three dimensions on a processor take their time.
const WAIT_MS = 180_000;

async function report(browser, run) {
  const page = await browser.newPage({ viewport: { width: 1000, height: 810 }, colorScheme: "light" });
  await page.goto(pathToFileURL(path.resolve(run, "report.html")).href);
  await page.screenshot({ path: path.join(PICTURES, "report.png") });
}

async function view(browser, scnas, run) {
  const server = spawn(scnas, ["view", run, "--no-browser"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const address = await new Promise((resolve, reject) => {
      let said = "";
      server.stdout.on("data", (part) => {
        said += part;
        const found = said.match(/http:\S+/);
        if (found !== null) resolve(found[0]);
      });
      server.on("exit", (code) => reject(new Error(`scnas view ended with ${code}`)));
    });
    const page = await browser.newPage({ viewport: { width: 1100, height: 900 }, colorScheme: "dark" });
    await page.goto(address);
    const shown = () => document.getElementById("canvas").dataset.shown !== undefined && !document.getElementById("cases").hasAttribute("aria-busy");
    await page.waitForFunction(shown, null, { timeout: WAIT_MS });
    await page.locator("section:has(#canvas)").screenshot({ path: path.join(PICTURES, "view.png"), timeout: WAIT_MS });
  } finally {
    server.kill("SIGINT");
  }
}

(async () => {
  const [scnas, run] = process.argv.slice(2);
  const args = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"];
  const browser = await chromium.launch({ executablePath: process.env.SCNAS_JUDGE_BROWSER, args });
  try {
    await report(browser, run);
    await view(browser, scnas, run);
  } finally {
    await browser.close();
  }
})();
