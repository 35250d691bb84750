// Judges pages that `scnas report` wrote, in a real browser without a network:
//
//   NODE_PATH=… SCNAS_JUDGE_BROWSER=/usr/bin/chromium node scripts/judge_report.cjs PAGE… [--pictures DIR]
//
// NODE_PATH is a folder node_modules with playwright-core and axe-core (npm). Prints what was seen
// of each page as a line of JSON; ends with 1 and says why where something is wrong: an error in the
// console, a request, a plot or picture that is blank, a control that does nothing or that no key
// reaches, a serious fault of accessibility, more than 5 MB, more than 2 s of a processor to load.
// --pictures DIR writes what a page looks like: light, dark, narrow, printed.
"use strict";

const fs = require("fs");
const path = require("path");
const { pathToFileURL } = require("url");
const { chromium } = require("playwright-core");
const { check, accessible, wrongs } = require("./judge_page.cjs");

const MOST_BYTES = 5_000_000;
const MOST_MS = 2000;

// How many colours a picture of an element has.
async function colours(page, element) {
  const png = (await element.screenshot()).toString("base64");
  return page.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    return new Set(pixels).size;
  }, png);
}

// Every plot and picture is more than its own blank.
async function drawings(page) {
  const shown = (await page.$$("figure.plot svg, .plane svg, .film:not([hidden]) .drawing svg"));
  for (const svg of shown) {
    const name = await svg.evaluate((svg) => svg.getAttribute("aria-label") ?? "cells");
    const box = await svg.boundingBox();
    check(box !== null && box.width > 50 && box.height > 20, `${name}: has no size`);
    const drawn = await colours(page, svg);
    await svg.evaluate((svg) => { for (const child of svg.children) child.style.opacity = 0; });
    const blank = await colours(page, svg);
    await svg.evaluate((svg) => { for (const child of svg.children) child.style.opacity = ""; });
    check(drawn > blank + 3, `${name}: ${drawn} colours, blank ${blank}`);
  }
  const images = await page.$$eval("svg image", (images) => Promise.all(images.map(async (image) => {
    const png = new Image();
    png.src = image.getAttribute("href");
    await png.decode();
    return png.naturalWidth;
  })));
  check(images.every((width) => width > 1), `pictures that are no images: ${images}`);
  return { plots: await page.$$eval("figure.plot", (all) => all.length), pictures: images.length };
}

// Heads sort, up and down, by pointer and key; another class has other values.
async function sorting(page) {
  let all = 0;
  for (const part of await page.$$(".cases")) {
    const values = (column) => part.$$eval("tbody tr", (rows, column) =>
      rows.map((row) => parseFloat(row.cells[column].textContent.replace("−", "-"))).filter((v) => !Number.isNaN(v)), column);
    const rises = (list) => list.every((value, n) => n === 0 || list[n - 1] <= value);
    for (const [column, head] of (await part.$$("thead button")).entries()) {
      all += 1;
      if (!(await head.evaluate((head) => head.parentElement.classList.contains("n")))) continue;
      await head.click();
      check(rises(await values(column)), `column ${column} does not rise`);
      await head.focus();
      await page.keyboard.press("Enter");
      check(rises((await values(column)).reverse()), `column ${column} does not fall`);
    }
    const select = await part.$("select.class");
    if (select === null) continue;
    const cells = () => part.$$eval("td.n", (cells) => cells.map((cell) => cell.textContent).join());
    const means = await cells();
    await select.selectOption({ index: 1 });
    check((await cells()) !== means, "another class shows the same values");
    await select.selectOption({ index: 0 });
    check([...(await cells())].sort().join() === [...means].sort().join(), "the means do not come back");
  }
  return all;
}

// The slider changes the cells, and comes back to where it was.
async function sliding(page) {
  const slider = await page.$(".film:not([hidden]) input.epoch");
  if (slider === null) return 0;
  const seen = () => page.$$eval(".film:not([hidden]) [data-edge]", (marks) =>
    marks.filter((mark) => getComputedStyle(mark).display !== "none").map((mark) => `${mark.dataset.edge}:${mark.dataset.op}`).join());
  const last = await seen();
  await slider.focus();
  await page.keyboard.press("Home");
  check((await seen()) !== last, "the cells are the same at the first epoch and at the last");
  await page.keyboard.press("End");
  check((await seen()) === last, "the cells of the last epoch do not come back");
  return Number(await slider.getAttribute("max")) + 1;
}

// Layers of the pictures go and come.
async function layers(page) {
  for (const part of await page.$$(".pictures")) {
    for (const box of await part.$$("input[data-layer]")) {
      const layer = await box.getAttribute("data-layer");
      const seen = () => part.$$eval(`.plane .${layer}`, (paths) => paths.filter((path) => getComputedStyle(path).display !== "none").length);
      const before = await seen();
      await box.focus();
      await page.keyboard.press("Space");
      check((await seen()) === 0, `${layer} stays`);
      await page.keyboard.press("Space");
      check((await seen()) === before, `${layer} does not come back`);
    }
  }
}

// Curves are read with the arrow keys.
async function reading(page) {
  for (const svg of await page.$$("svg[data-x]")) {
    await svg.focus();
    await page.keyboard.press("ArrowRight");
    const tip = await svg.evaluate((svg) => svg.parentElement.querySelector(".tip")?.textContent ?? "");
    check(/\d/.test(tip), "a curve tells no value");
    await page.keyboard.press("Escape");
  }
}

// Tab reaches everything that does something.
async function keyboard(page) {
  await page.evaluate(() => {
    document.activeElement.blur();
    window.reached = new Set();
    document.addEventListener("focusin", (event) => window.reached.add(event.target));
    window.wanted = [...document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']")]
      .filter((element) => element.offsetParent !== null || element instanceof SVGElement);
  });
  const wanted = await page.evaluate(() => window.wanted.length);
  for (let n = 0; n < wanted + 5; n += 1) await page.keyboard.press("Tab");
  const missed = await page.evaluate(() => window.wanted.filter((element) => !window.reached.has(element)).map((element) => element.outerHTML.slice(0, 80)));
  check(missed.length === 0, `no key reaches ${missed.join("; ")}`);
  return wanted;
}

async function judge(browser, file, pictures) {
  const bytes = fs.statSync(file).size;
  check(bytes <= MOST_BYTES, `${bytes} bytes`);
  const context = await browser.newContext({ offline: true, viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const address = pathToFileURL(path.resolve(file)).href;
  const wrong = wrongs(page, (url) => url === address || url.startsWith("data:"));
  // Time of the page's own thread: what else the machine does is not the page's.
  const debug = await context.newCDPSession(page);
  await debug.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(address, { waitUntil: "load" });
  const { metrics } = await debug.send("Performance.getMetrics");
  const ms = Math.round(1000 * metrics.find(({ name }) => name === "TaskDuration").value);
  check(ms <= MOST_MS, `${ms} ms to load`);
  const seen = { page: path.basename(file), bytes, ms, ...(await drawings(page)) };
  seen.sortable = await sorting(page);
  seen.epochs = await sliding(page);
  await layers(page);
  await reading(page);
  seen.controls = await keyboard(page);
  seen.lesser_faults = [...new Set([...(await accessible(page, "light")), ...(await accessible(page, "dark"))])];
  check(wrong.length === 0, wrong.join("\n"));
  if (pictures !== null) {
    fs.mkdirSync(pictures, { recursive: true });
    const name = path.join(pictures, path.basename(file, ".html"));
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.evaluate(() => { document.activeElement.blur(); window.scrollTo(0, 0); });
      await page.screenshot({ path: `${name}-${scheme}.png`, fullPage: true });
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 420, height: 900 });
    await page.screenshot({ path: `${name}-narrow.png`, fullPage: true });
    await page.pdf({ path: `${name}.pdf`, format: "A4", printBackground: false });
  }
  await context.close();
  return seen;
}

async function main() {
  const args = process.argv.slice(2);
  const at = args.indexOf("--pictures");
  const pictures = at < 0 ? null : args.splice(at, 2)[1];
  const executablePath = process.env.SCNAS_JUDGE_BROWSER;
  check(executablePath && args.length > 0, "expected SCNAS_JUDGE_BROWSER and the names of pages");
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  let failed = false;
  for (const file of args) {
    try {
      console.log(JSON.stringify(await judge(browser, file, pictures)));
    } catch (error) {
      failed = true;
      console.error(`${file}: ${error.message}`);
    }
  }
  await browser.close();
  process.exitCode = failed ? 1 : 0;
}

main();
