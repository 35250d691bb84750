
// The page of scnas view: cases in NiiVue, and a run as it goes on. `enliven` stands before it.
const at = (id) => document.getElementById(id);
const COLOURS = ["#ffab1a", "#5cc4ff", "#1fd1a0", "#f5ea5a", "#5b8cff", "#ff7a45", "#f09ad0"];
const WRONG = [["missed", "#ff4d3d"], ["added", "#3d9bff"], ["labelled otherwise", "#ffe14d"]];
const POLL_MS = 2000;

const fail = (text) => {
  at("fault").hidden = text === "";
  at("fault").textContent = text;
};
async function ask(name) {
  const answer = await fetch(name, { cache: "no-store" });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}

// The viewer. Without WebGL 2 there is none, and the rest of the page stands.
let viewer = null;
let ready = null;
function started() {
  ready ??= (async () => {
    const made = new niivue.Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [1, 1, 1, 1],
      crosshairWidth: 0.4,
      crosshairWidthUnit: "percent",
      multiplanarPadPixels: 4,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS,
      sliceType: niivue.SLICE_TYPE.MULTIPLANAR,
      dragAndDropEnabled: false,
      // Its keys are heard only where the pointer was.
      cycleClipPlaneHotKey: "",
      clipPlaneHotKey: "",
      viewModeHotKey: "",
      scrollRequiresFocus: true,
      logLevel: "error",
    });
    await made.attachToCanvas(at("canvas"));
    made.onLocationChange = ({ mm, values }) => {
      const place = Array.from(mm).slice(0, 3).map((value) => value.toFixed(1)).join(", ");
      const [image, ...over] = values.map(({ value }) => value);
      const named = over.map((value, n) => `${shown.maps[n]?.name}: ${nameOf(n, Math.round(value))}`);
      at("where").textContent = [`${place} mm`, Number(image?.toPrecision(5)), ...named].join(" · ").replaceAll("-", "−");
    };
    viewer = made;
  })();
  return ready;
}

let cases = [];
let shown = { maps: [], labels: [], channels: [] };
let asked = null;

function nameOf(map, value) {
  if (!shown.maps[map]?.labels) return WRONG[value - 1]?.[0] ?? "–";
  return shown.labels.find((label) => label.value === value)?.name ?? String(value);
}

// A colour for each value: those of labels that are known by their order, others by their value.
function table(map, highest) {
  const rgb = (hex) => [1, 3, 5].map((from) => parseInt(hex.slice(from, from + 2), 16));
  const known = shown.labels.filter((label) => label.value > 0).map((label) => label.value);
  const colour = (value) => {
    if (!map.labels) return WRONG[value - 1]?.[1] ?? "#ffffff";
    const place = known.indexOf(value);
    return COLOURS[(place < 0 ? value - 1 : place) % COLOURS.length];
  };
  const values = Array.from({ length: Math.max(1, highest) + 1 }, (_, value) => value);
  const [R, G, B] = [0, 1, 2].map((part) => values.map((value) => (value > 0 ? rgb(colour(value))[part] : 0)));
  return { R, G, B, A: values.map((value) => (value > 0 ? 255 : 0)), I: values, labels: values.map(String) };
}

// What lies over the image, as the boxes say.
function layers() {
  if (viewer === null) return;
  const opacity = Number(at("opacity").value);
  boxes().forEach((box, n) => {
    if (viewer.volumes[n + 1] !== undefined) viewer.volumes[n + 1].opacity = box.checked ? opacity : 0;
  });
  viewer.updateGLVolume();
}
const boxes = () => [...at("maps").querySelectorAll("input")];
const isWrong = (n) => shown.maps[n]?.labels === false;

// Boxes for the maps of a case; what was on stays on.
function list() {
  const before = new Map(boxes().map((box) => [box.dataset.name, box.checked]));
  // Predictions are looked at first, which are the last of the label maps.
  const first = shown.maps.findLastIndex((map) => map.labels);
  at("maps").replaceChildren(...shown.maps.map((map, n) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.dataset.name = map.name;
    box.checked = before.get(map.name) ?? n === first;
    box.setAttribute("aria-keyshortcuts", String(n + 1));
    box.addEventListener("change", layers);
    const key = document.createElement("kbd");
    key.textContent = String(n + 1);
    label.append(box, ` ${map.name} `, key);
    return label;
  }));
  at("channels").hidden = shown.channels.length < 2;
  const channel = Math.max(0, shown.channels.indexOf(at("channel").value));
  at("channel").replaceChildren(...shown.channels.map((name) => new Option(name)));
  at("channel").selectedIndex = channel;
  const known = shown.labels.filter((label) => label.value > 0);
  const named = known.map((label, n) => [label.name, COLOURS[n % COLOURS.length]]);
  if (shown.maps.some((map) => !map.labels)) named.push(...WRONG);
  at("labels").replaceChildren(...named.map(([name, colour]) => {
    const span = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.setProperty("--k", colour);
    span.append(mark, name);
    return span;
  }));
}

// Cases are loaded one after the other; those that nobody waits for any more are left out.
let loading = Promise.resolve();
function load(entry, keep) {
  asked = entry;
  loading = loading.then(() => (asked === entry ? loadNow(entry, keep) : undefined));
}
async function loadNow(entry, keep) {
  fail("");
  at("facts").textContent = entry.facts;
  at("cases").setAttribute("aria-busy", "true");
  try {
    await started();
    shown = JSON.parse(await ask(`case/${entry.number}.json`));
    list();
    const folder = `case/${entry.number}`;
    const volume = (part) => ({ url: new URL(`${folder}/${part}.nii`, location.href).href, name: `${part}.nii` });
    const cross = keep ? Array.from(viewer.scene.crosshairPos) : null;
    const channel = Math.max(0, at("channel").selectedIndex);
    await viewer.loadVolumes([
      { ...volume(`image-${channel}`), colormap: "gray" },
      ...shown.maps.map((_, n) => ({ ...volume(`map-${n}`), opacity: 0 })),
    ]);
    shown.maps.forEach((map, n) => {
      const of = viewer.volumes[n + 1];
      of.setColormapLabel(table(map, of.global_max ?? of.cal_max));
      // NIfTI's word for labels: what may have outlines.
      of.hdr.intent_code = 1002;
    });
    layers();
    if (cross === null) focus();
    else { viewer.scene.crosshairPos = cross; viewer.drawScene(); }
    at("canvas").setAttribute("aria-label", `${entry.name}: axial, coronal and sagittal plane, and 3-D`);
    at("canvas").dataset.shown = entry.name;
  } catch (error) {
    fail(error.message);
  } finally {
    at("cases").removeAttribute("aria-busy");
  }
}

function focus() {
  if (viewer === null || viewer.volumes.length === 0) return;
  // By the image's own axes, which may be oblique; NiiVue otherwise takes them for upright.
  viewer.scene.crosshairPos = viewer.mm2frac(shown.focus_mm, 0, true);
  viewer.createOnLocationChange();
  viewer.drawScene();
}

// The list of cases.
const choose = (n) => {
  if (n < 0 || n >= cases.length) return;
  at("case").selectedIndex = n;
  load(cases[n], false);
};
const step = (by) => choose(at("case").selectedIndex + by);
at("case").addEventListener("change", () => choose(at("case").selectedIndex));
at("next").addEventListener("click", () => step(1));
at("previous").addEventListener("click", () => step(-1));
at("channel").addEventListener("change", () => { if (asked !== null) load(asked, true); });
at("opacity").addEventListener("input", layers);
at("outlines").addEventListener("change", () => {
  if (viewer === null) return;
  viewer.setAtlasOutline(at("outlines").checked ? 1 : 0);
});

function swap() {
  const [one, other] = boxes().filter((_, n) => !isWrong(n));
  if (other === undefined) return;
  if (one.checked === other.checked) [one.checked, other.checked] = [true, false];
  else [one.checked, other.checked] = [other.checked, one.checked];
  layers();
}
// One view after the other.
function turn() {
  if (viewer === null) return;
  const { MULTIPLANAR, AXIAL, CORONAL, SAGITTAL, RENDER } = niivue.SLICE_TYPE;
  const views = [MULTIPLANAR, AXIAL, CORONAL, SAGITTAL, RENDER];
  viewer.setSliceType(views[(views.indexOf(viewer.opts.sliceType) + 1) % views.length]);
}

// The cross by keys, voxel by voxel: to the right of the picture, up, to the head.
const MOVES = { ArrowLeft: [1, 0, 0], ArrowRight: [-1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
at("canvas").addEventListener("keydown", (event) => {
  const move = MOVES[event.key];
  if (move === undefined || viewer === null || viewer.volumes.length === 0) return;
  event.preventDefault();
  viewer.moveCrosshairInVox(...move);
});

const KEYS = { v: turn, n: () => step(1), b: () => step(-1), x: swap, o: () => at("outlines").click(), e: focus };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || at("cases").hidden) return;
  const key = event.key.toLowerCase();
  const box = boxes()[Number(key) - 1];
  const act = box !== undefined ? () => box.click() : KEYS[key];
  if (act === undefined) return;
  event.preventDefault();
  act();
});

function listCases(found) {
  const names = (all) => all.map(({ number, dice }) => `${number} ${dice}`).join();
  if (names(found) === names(cases)) return;
  const first = cases.length === 0;
  const chosen = asked?.number;
  cases = found;
  at("cases").hidden = cases.length === 0;
  at("case").replaceChildren(...cases.map(({ name, dice }) => new Option(dice === null ? name : `${dice}  ${name}`)));
  at("case").selectedIndex = cases.findIndex(({ number }) => number === chosen);
  at("case").parentElement.hidden = cases.length < 2 && cases[0]?.dice === null;
  if (first && cases.length > 0) choose(0);
}

// A part of the page that is new. Who was reading it goes on where they were.
const parts = new Map();
function renew(id, html) {
  if (parts.get(id) === html) return;
  parts.set(id, html);
  const section = at(id);
  const part = section.querySelector("div");
  const reached = (within) => [...within.querySelectorAll("button, input, select, [tabindex]")];
  const place = reached(part).indexOf(document.activeElement);
  const slider = part.querySelector("input.epoch");
  const epoch = slider !== null && slider.value !== slider.max ? slider.value : null;
  part.innerHTML = html;
  section.hidden = html === "";
  enliven(part);
  const next = part.querySelector("input.epoch");
  if (epoch !== null && next !== null) {
    next.value = epoch;
    next.dispatchEvent(new Event("input"));
  }
  if (place >= 0) reached(part)[place]?.focus();
}

let last = "";
async function follow() {
  let state = null;
  try {
    // Nobody looks: the run is not asked.
    const text = document.hidden && last !== "" ? last : await ask("state.json");
    state = JSON.parse(text);
    if (text !== last) {
      if (last !== "" && asked === null) fail("");
      last = text;
      at("lead").innerHTML = state.lead ?? "";
      for (const part of ["race", "cells", "curves"]) renew(part, state[part] ?? "");
      listCases(state.cases);
      for (const link of document.querySelectorAll("nav a")) link.hidden = document.querySelector(link.getAttribute("href")).hidden;
    }
  } catch (error) {
    fail(error instanceof TypeError ? "scnas view has ended: start it again to go on." : error.message);
  }
  if (!state?.over) setTimeout(follow, POLL_MS);
}
follow();
