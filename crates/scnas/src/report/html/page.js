"use strict";

// Gives life to what is below an element: a whole page, or a part of one that is new.
function enliven(root) {
  const all = (selector, within = root) => [...within.querySelectorAll(selector)];

  // Layers of the pictures.
  for (const box of all("input[data-layer]")) {
    box.addEventListener("change", () => {
      box.closest(".pictures").classList.toggle(`no-${box.dataset.layer}`, !box.checked);
    });
  }

  // The table of cases: what is shown of each, and in which order.
  const read = (text) => {
    const value = parseFloat(text.replace("−", "-"));
    return Number.isNaN(value) ? null : value;
  };
  for (const table of all("table.sortable")) {
    const body = table.tBodies[0];
    const heads = all("thead th", table);
    const rows = [...body.rows];
    let sorted = null;
    const sort = (column, down) => {
      const isText = !heads[column].classList.contains("n");
      const key = new Map(rows.map((row) => {
        const text = row.cells[column].textContent;
        return [row, isText ? text : read(text)];
      }));
      const ordered = [...rows].sort((a, b) => {
        const [x, y] = [key.get(a), key.get(b)];
        // What is not known comes last.
        if (x === null || y === null) return (x === null) - (y === null);
        const order = isText ? x.localeCompare(y, "en", { numeric: true }) : x - y;
        return down ? -order : order;
      });
      body.append(...ordered);
      heads.forEach((head, n) => {
        if (n === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      sorted = { column, down };
    };
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        sort(column, sorted !== null && sorted.column === column && !sorted.down);
      });
    });
    const part = table.closest(".cases");
    const choice = part.querySelector("select.class");
    if (choice === null) continue;
    const byClass = JSON.parse(part.querySelector("script.scores").textContent);
    const first = heads.findIndex((head) => head.classList.contains("n"));
    const means = rows.map((row) => [...row.cells].slice(first).map((cell) => cell.textContent));
    const text = (value) => (value === null ? "–" : value.toFixed(4).replace("-", "−"));
    choice.addEventListener("change", () => {
      const chosen = choice.selectedIndex;
      rows.forEach((row, n) => {
        const values = chosen === 0 ? means[n] : byClass[chosen - 1][n].map(text);
        values.forEach((value, m) => { row.cells[first + m].textContent = value; });
      });
      if (sorted !== null) sort(sorted.column, sorted.down);
    });
  }

  // Cells: one network at a time, and one epoch of its search.
  for (const films of all(".films")) {
    const choice = films.querySelector("select.which");
    choice.addEventListener("change", () => {
      all(".film", films).forEach((film, n) => { film.hidden = n !== choice.selectedIndex; });
    });
  }
  for (const film of all(".film")) {
    const slider = film.querySelector("input.epoch");
    if (slider === null) continue;
    const { names, edges } = JSON.parse(film.querySelector("script.frames").textContent);
    const output = film.querySelector("output");
    const marks = all("[data-edge]", film);
    const show = () => {
      const frame = edges[slider.value];
      for (const mark of marks) {
        mark.classList.toggle("off", frame[mark.dataset.edge] !== Number(mark.dataset.op));
      }
      output.textContent = names[slider.value];
      slider.setAttribute("aria-valuetext", names[slider.value]);
    };
    slider.addEventListener("input", show);
    const button = film.querySelector("button.play");
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    button.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (slider.value === slider.max) slider.value = 0;
      show();
      button.textContent = "Stop";
      timer = setInterval(() => {
        slider.value = Number(slider.value) + 1;
        show();
        if (slider.value === slider.max) stop();
      }, 6000 / names.length + 100);
    });
  }

  // Curves: values at an epoch, by pointer or arrow keys. They are read back from the drawing.
  for (const svg of all("svg[data-x]")) {
    const [x, y] = [svg.dataset.x, svg.dataset.y].map((text) => text.split(" ").map(Number));
    const [left, right, top, bottom] = svg.dataset.frame.split(" ").map(Number);
    const lines = all("polyline", svg).map((line) => ({
      name: line.dataset.name,
      points: line.getAttribute("points").split(" ").map((point) => point.split(",").map(Number)),
    }));
    const places = [...new Set(lines.flatMap((line) => line.points.map(([at]) => at)))].sort((a, b) => a - b);
    const value = (at) => y[0] + ((bottom - at) / (bottom - top)) * (y[1] - y[0]);
    const epoch = (at) => Math.round(x[0] + ((at - left) / (right - left)) * (x[1] - x[0]));
    const digits = Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(y[1] - y[0]))));
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cursor.setAttribute("class", "cursor");
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("role", "status");
    let place = null;
    const hide = () => { cursor.remove(); tip.remove(); place = null; };
    const show = (n) => {
      place = Math.max(0, Math.min(places.length - 1, n));
      const at = places[place];
      cursor.setAttribute("d", `M${at},${top}V${bottom}`);
      svg.append(cursor);
      const rows = lines.flatMap(({ name, points }) => {
        const found = points.find(([x]) => x === at);
        return found ? [`${name} ${value(found[1]).toFixed(digits).replace("-", "−")}`] : [];
      });
      tip.replaceChildren(...[`epoch ${epoch(at)}`, ...rows].map((text) => {
        const row = document.createElement("div");
        row.textContent = text;
        return row;
      }));
      svg.parentElement.append(tip);
      const scale = svg.clientWidth / svg.viewBox.baseVal.width;
      const side = at * scale + 12 + tip.offsetWidth > svg.clientWidth;
      tip.style.left = `${side ? at * scale - 12 - tip.offsetWidth : at * scale + 12}px`;
      tip.style.top = `${svg.offsetTop + 10}px`;
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const distance = (n) => Math.abs(places[n] - at);
      show(places.reduce((best, _, n) => (distance(n) < distance(best) ? n : best), 0));
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (step === undefined || places.length === 0) return;
      event.preventDefault();
      show(place === null ? (step > 0 ? 0 : places.length - 1) : place + step);
    });
  }
}
