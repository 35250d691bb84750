// Judges the page of `scnas view` in a real browser, against the server itself:
//
//   NODE_PATH=… SCNAS_JUDGE_BROWSER=/usr/bin/chromium node scripts/judge_view.cjs ADDRESS [--append LOG LINES] [--pictures DIR]
//
// NODE_PATH is a folder node_modules with playwright-core and axe-core (npm). WebGL 2 runs on the processor. Prints what was seen as a line of JSON; ends
// with 1 and says why where something is wrong: an error in the console, a request to elsewhere, an image that is blank, an overlay that does not go or
// come, a key that does nothing, cases out of order, a serious fault of accessibility, an answer to whom none is due. --append adds the file LINES to the
// log of a run under way, and waits for its curves to grow. --pictures writes what the page looks like.
"use strict";

const fs = require("fs");
const http = require("http");
const path = require("path");
const { chromium } = require("playwright-core");
const { check, accessible, wrongs } = require("./judge_page.cjs");

// Three dimensions on a processor take their time.
const WAIT_MS = 180_000;

// What the server answers to a request as it is written, whatever a browser would make of it.
function status(port, asked, headers) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, path: asked, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode));
    });
    request.on("error", reject);
    request.end();
  });
}

async function refusals(address) {
  const { port, pathname } = new URL(address);
  const wrong = pathname.replace(/[0-9a-f]/, (digit) => (digit === "0" ? "1" : "0"));
  const own = `127.0.0.1:${port}`;
  const asked = [
    ["the page", pathname, own, 200],
    ["the page by another name of this machine", pathname, "localhost", 200],
    ["another secret", wrong, own, 403],
    ["no secret", "/", own, 403],
    ["a foreign host", pathname, "example.org", 403],
    ["a foreign host with the port", pathname, `example.org:${port}`, 403],
    ["the folder above", `${pathname}../`, own, 404],
    ["a file", `${pathname}../../../../etc/passwd`, own, 404],
    ["a file, encoded", `${pathname}%2e%2e/%2e%2e/etc/passwd`, own, 404],
    ["a file below a case", `${pathname}case/0/../../../etc/passwd`, own, 404],
    ["a case that is not there", `${pathname}case/999999.json`, own, 404],
  ];
  for (const [what, name, host, expected] of asked) {
    const found = await status(port, name, { Host: host });
    check(found === expected, `${what}: expected ${expected}, found ${found}`);
  }
  return asked.length;
}

// Pictures of the canvas, compared on a page of their own: that of the server lets nothing in.
async function comparing(context) {
  const page = await context.newPage();
  await page.goto("about:blank");
  return (one, other) => page.evaluate(async (files) => {
    const read = async (file) => {
      const image = new Image();
      image.src = `data:image/png;base64,${file}`;
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      const to = canvas.getContext("2d");
      to.drawImage(image, 0, 0);
      return to.getImageData(0, 0, image.width, image.height).data;
    };
    const [a, b] = await Promise.all(files.map(read));
    const pixels = a.length / 4;
    let [differ, colour] = [0, [0, 0]];
    for (let n = 0; n < a.length; n += 4) {
      const far = [0, 1, 2].some((part) => Math.abs(a[n + part] - b[n + part]) > 24);
      differ += far ? 1 : 0;
      [a, b].forEach((image, which) => {
        const parts = [image[n], image[n + 1], image[n + 2]];
        colour[which] += Math.max(...parts) - Math.min(...parts) > 60 ? 1 : 0;
      });
    }
    return { differ: differ / pixels, colour: colour.map((count) => count / pixels) };
  }, [one, other]);
}

async function looking(page, compare, seen) {
  const canvas = page.locator("#canvas");
  const shown = async (before) => {
    await page.waitForFunction((before) => {
      const name = document.getElementById("canvas").dataset.shown;
      return name !== undefined && name !== before && !document.getElementById("cases").hasAttribute("aria-busy");
    }, before, { timeout: WAIT_MS });
    return canvas.getAttribute("data-shown");
  };
  // Drawn anew and read at once: WebGL keeps no picture for later.
  const picture = () => page.evaluate(() => {
    viewer.drawScene();
    return document.getElementById("canvas").toDataURL("image/png").split(",")[1];
  });
  const first = await shown("");
  const boxes = page.locator("#maps input");
  const maps = await boxes.count();
  const only = async (wanted) => {
    for (let n = 0; n < maps; n += 1) {
      if ((await boxes.nth(n).isChecked()) !== (n === wanted)) await page.keyboard.press(String(n + 1));
      check((await boxes.nth(n).isChecked()) === (n === wanted), `the key ${n + 1} switches nothing`);
    }
    return picture();
  };
  const bare = await only(-1);
  await page.evaluate(() => viewer.setOpacity(0, 0));
  const blank = await picture();
  await page.evaluate(() => viewer.setOpacity(0, 1));
  check((await compare(bare, await picture())).differ < 0.001, "the image does not come back");
  seen.image = (await compare(bare, blank)).differ;
  check(seen.image > 0.05, `the image differs from a blank one in ${seen.image} of the pixels`);
  seen.overlays = [];
  const [overlaid, empty] = [[], []];
  for (let n = 0; n < maps; n += 1) {
    overlaid.push(await only(n));
    const { differ, colour: [on, off] } = await compare(overlaid[n], bare);
    seen.overlays.push(Number(differ.toFixed(4)));
    // A network may predict nothing. What is wrong may be nothing, or a single voxel, which NiiVue draws faintly: it softens borders.
    const isEmpty = n === 2 || await page.evaluate((n) => viewer.volumes[n + 1].global_max === 0, n);
    empty.push(isEmpty);
    check(isEmpty || (differ > 0.0005 && on > off), `overlay ${n}: ${differ} of the pixels differ, ${on} in colour, without it ${off}`);
  }
  if (maps > 1) {
    await only(0);
    await page.keyboard.press("x");
    check((await compare(await picture(), overlaid[1])).differ < 0.001, "X does not show the other map");
    await page.keyboard.press("o");
    check(empty[1] || (await compare(await picture(), overlaid[1])).differ > 0.0001, "O makes no outlines");
    await page.keyboard.press("o");
  }
  await page.keyboard.press("v");
  check((await compare(await picture(), overlaid[1] ?? bare)).differ > 0.05, "V changes no view");
  for (let n = 0; n < 4; n += 1) await page.keyboard.press("v");
  const where = page.locator("#where");
  const place = await where.textContent();
  check(/mm/.test(place), `the place is not told: ${place}`);
  const errors = maps > 2 && await page.evaluate(() => viewer.volumes[3].global_max > 0);
  check(!errors || !/wrong voxels: –/.test(place), `the cross begins where nothing is wrong: ${place}`);
  await canvas.focus();
  for (const keys of [["ArrowLeft", "ArrowRight"], ["ArrowUp", "ArrowDown"], ["PageUp", "PageDown"]]) {
    const places = new Set([await where.textContent()]);
    for (const key of keys) {
      await page.keyboard.press(key);
      places.add(await where.textContent());
    }
    // At a border one of them does nothing.
    check(places.size > 1, `${keys} move no cross`);
  }
  await page.keyboard.press("e");
  check((await where.textContent()) === place, "E does not lead back to the largest error");
  const dice = (await page.locator("#case option").allTextContents()).map(parseFloat);
  if (dice.length > 1) {
    check(dice.every((value, n) => n === 0 || Number.isNaN(value) || dice[n - 1] <= value), `cases are not by their Dice: ${dice}`);
    await page.keyboard.press("n");
    const second = await shown(first);
    await page.keyboard.press("b");
    check((await shown(second)) === first, "B does not lead back");
  }
  Object.assign(seen, { maps, cases: dice.length });
}

// The curves of a run under way grow when its log does, and whoever reads them goes on.
async function growing(page, log, lines) {
  const points = () => page.$$eval("#curves polyline", (all) => all.map((line) => line.getAttribute("points").split(" ").length));
  await page.waitForSelector("#curves polyline", { state: "attached", timeout: WAIT_MS });
  const before = await points();
  await page.locator("#curves svg[data-x]").first().focus();
  fs.appendFileSync(log, fs.readFileSync(lines));
  const total = before.reduce((a, b) => a + b, 0);
  await page.waitForFunction((total) => {
    const all = [...document.querySelectorAll("#curves polyline")];
    return all.reduce((sum, line) => sum + line.getAttribute("points").split(" ").length, 0) > total;
  }, total, { timeout: WAIT_MS });
  check(await page.evaluate(() => document.activeElement?.matches("#curves svg")), "whoever read a curve lost their place");
  return [before, await points()];
}

async function main() {
  const args = process.argv.slice(2);
  const option = (name, count) => {
    const at = args.indexOf(name);
    return at < 0 ? null : args.splice(at, count + 1).slice(1);
  };
  const append = option("--append", 2);
  const pictures = option("--pictures", 1);
  const [address] = args;
  const executablePath = process.env.SCNAS_JUDGE_BROWSER;
  check(executablePath && address, "expected SCNAS_JUDGE_BROWSER and the address that scnas view prints");
  const seen = { refusals: await refusals(address) };
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"] });
  try {
    const context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
    const compare = await comparing(context);
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    // The software renderer warns of its own slowness.
    const slow = (text) => /GPU stall|Automatic fallback to software WebGL/.test(text);
    const wrong = wrongs(page, (url) => url.startsWith(address) || /^(data|blob):/.test(url), slow);
    await page.goto(address, { waitUntil: "load" });
    if (append === null) await looking(page, compare, seen);
    else seen.points = await growing(page, ...append);
    if (pictures !== null) {
      fs.mkdirSync(pictures[0], { recursive: true });
      for (const scheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.screenshot({ path: path.join(pictures[0], `view-${scheme}.png`), fullPage: true });
      }
    }
    seen.lesser_faults = [...new Set([...(await accessible(page, "light")), ...(await accessible(page, "dark"))])];
    check(await page.locator("#fault").isHidden(), `the page says: ${await page.locator("#fault").textContent()}`);
    check(wrong.length === 0, wrong.join("\n"));
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
