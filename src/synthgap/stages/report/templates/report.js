"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Tables: a click on a heading sorts. Rows without a number stay last in either direction.
  function sortable(table, done) {
    for (const head of all("th[data-sort]", table)) {
      const button = document.createElement("button");
      button.className = "sort";
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numeric = head.dataset.sort === "num";
        const falling = head.ariaSort ? head.ariaSort === "ascending" : numeric;
        for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const sign = falling ? -1 : 1;
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [row, row.cells[head.cellIndex].dataset.v ?? ""]);
        rows.sort(([, a], [, b]) => {
          if (a === "" || b === "") return (a === "") - (b === "");
          return sign * (numeric ? a - b : a.localeCompare(b));
        });
        body.append(...rows.map(([row]) => row));
        done?.();
      });
    }
  }

  // The table of classes: filter by cause and name, the first rows until the reader asks for all.
  function classTable(table) {
    const tags = all("[data-cause]", one("[data-for=class-table]"));
    const find = one("#class-find");
    const more = one(".more");
    let everything = false;
    function show() {
      const wanted = tags.filter((tag) => tag.ariaPressed === "true").map((tag) => tag.dataset.cause);
      const text = find.value.trim().toLowerCase();
      const limit = everything ? Infinity : Number(table.dataset.first);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const fits = (!wanted.length || wanted.includes(row.dataset.cause)) && row.dataset.name.toLowerCase().includes(text);
        row.hidden = !fits || shown >= limit;
        if (fits) shown += 1;
      }
      more.hidden = shown <= limit;
      one("button", more).textContent = `Show all ${shown.toLocaleString("en")} classes`;
      one(".none").hidden = shown > 0;
    }
    for (const tag of tags)
      tag.addEventListener("click", () => {
        tag.ariaPressed = String(tag.ariaPressed !== "true");
        show();
      });
    find.addEventListener("input", show);
    one("button", more).addEventListener("click", () => { everything = true; show(); });
    sortable(table, show);
    show();
  }

  // One natural and one synthetic image beside each class name, borrowed from the strips: no byte is stored twice.
  function peeks() {
    for (const place of all("[data-peek]")) {
      const figures = all(`#class-${place.dataset.peek} figure`).slice(0, 2);
      for (const figure of figures) {
        const source = one("img", figure);
        const image = new Image();
        image.src = source.src;
        image.alt = "";
        image.className = `${source.className} ${figure.className}`;
        place.append(image);
      }
    }
  }

  function matrix(group, table) {
    const buttons = all("button", group);
    for (const button of buttons)
      button.addEventListener("click", () => {
        for (const other of buttons) other.ariaPressed = String(other === button);
        for (const cell of all("[data-all]", table)) {
          const [text, strength] = cell.dataset.all.split(";")[button.dataset.metric].split("|");
          cell.textContent = text;
          cell.removeAttribute("title");
          cell.style.setProperty("--s", strength);
        }
      });
  }

  // The map: marks are stamped from one small picture per set, so 10,000 of them take a few milliseconds.
  function map(box) {
    const data = JSON.parse(one("#map-data").textContent);
    const shapes = JSON.parse(one("#map-shapes").textContent);
    const canvas = one("canvas", box);
    const ring = one(".ring", box);
    const tip = one(".tip", box);
    const pick = one("#map-class");
    const buttons = all(".legend");
    const CELL = 24;
    const PAD = 22;
    let view = null;
    let grid = new Map();

    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

    function stamp(set, ratio, crowd) {
      const size = 16 * ratio;
      const picture = document.createElement("canvas");
      picture.width = picture.height = size;
      const pen = picture.getContext("2d");
      pen.translate(size / 2, size / 2);
      const zoom = ratio * (set.kind !== "prompts" ? 0.8 * crowd : set.x.length > 400 ? 0.5 : set.x.length > 60 ? 0.75 : 1.05);
      pen.scale(zoom, zoom);
      const path = new Path2D(shapes[set.style]);
      pen.lineWidth = set.kind === "prompts" ? 1.6 : 1;
      pen.strokeStyle = colour(set.kind === "prompts" ? "ink" : "panel");
      pen.stroke(path);
      pen.fillStyle = colour(set.style);
      pen.fill(path);
      return picture;
    }

    function names(pen, chosen) {
      if (data.classes.length > 24 && chosen === "") return;
      const sums = data.classes.map(() => [0, 0, 0]);
      const visible = data.sets.filter((set, i) => buttons[i].ariaPressed === "true");
      const anchor = visible.find((set) => set.kind === "natural") ?? visible[0];
      if (!anchor) return;
      anchor.c.forEach((c, i) => { sums[c][0] += anchor.x[i]; sums[c][1] += anchor.y[i]; sums[c][2] += 1; });
      pen.font = "600 13px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.lineJoin = "round";
      pen.lineWidth = 4;
      pen.strokeStyle = colour("panel");
      pen.fillStyle = colour("ink");
      const taken = [];
      sums.forEach(([x, y, n], c) => {
        if (!n || (chosen !== "" && Number(chosen) !== c)) return;
        const label = data.classes[c].length > 28 ? `${data.classes[c].slice(0, 27)}…` : data.classes[c];
        const half = pen.measureText(label).width / 2 + 4;
        const left = Math.min(Math.max(view.x(x / n), half), canvas.clientWidth - half);
        let top = view.y(y / n);
        while (taken.some(([a, b, w]) => Math.abs(a - left) < w + half && Math.abs(b - top) < 16)) top += 16;
        taken.push([left, top, half]);
        pen.strokeText(label, left, top);
        pen.fillText(label, left, top);
      });
    }

    function dot(pen, set, s, i, picture, ratio, chosen) {
      const x = view.x(set.x[i]);
      const y = view.y(set.y[i]);
      const fits = chosen === "" || set.c[i] === Number(chosen);
      pen.globalAlpha = fits ? (set.kind === "prompts" ? 1 : 0.82) : 0.06;
      pen.drawImage(picture, (x - 8) * ratio, (y - 8) * ratio);
      if (!fits) return;
      const key = `${Math.floor(x / CELL)} ${Math.floor(y / CELL)}`;
      if (!grid.has(key)) grid.set(key, []);
      grid.get(key).push([x, y, s, i]);
    }

    function draw() {
      const width = box.clientWidth;
      const height = Math.round(Math.min(Math.max((width * data.height) / data.width, 340), Math.max(440, innerHeight * 0.78)));
      const ratio = Math.min(devicePixelRatio || 1, 3);
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      canvas.style.height = `${height}px`;
      const scale = Math.min((width - 2 * PAD) / data.width, (height - 2 * PAD) / data.height);
      const left = (width - data.width * scale) / 2;
      const low = (height + data.height * scale) / 2;
      view = { x: (x) => left + x * scale, y: (y) => low - y * scale };
      const pen = canvas.getContext("2d");
      const chosen = pick.value;
      grid = new Map();
      const visible = data.sets.map((set, s) => [set, s]).filter(([, s]) => buttons[s].ariaPressed === "true");
      const total = visible.reduce((sum, [set]) => sum + set.x.length, 0);
      const crowd = total > 6000 ? 0.75 : total > 2500 ? 0.88 : 1;
      // Images in turns, so that no set lies on top of another; then the prompts, the fewest on top.
      const prompts = visible.filter(([set]) => set.kind === "prompts").sort(([a], [b]) => b.x.length - a.x.length);
      const layers = [visible.filter(([set]) => set.kind !== "prompts"), ...prompts.map((item) => [item])];
      for (const layer of layers) {
        const stamps = layer.map(([set, s]) => [set, s, stamp(set, ratio, crowd)]);
        const longest = Math.max(0, ...layer.map(([set]) => set.x.length));
        for (let i = 0; i < longest; i += 1)
          for (const [set, s, picture] of stamps) if (i < set.x.length) dot(pen, set, s, i, picture, ratio, chosen);
      }
      pen.globalAlpha = 1;
      pen.scale(ratio, ratio);
      names(pen, chosen);
    }

    function nearest(x, y) {
      let best = null;
      let reach = 14 * 14;
      for (let a = -1; a <= 1; a += 1)
        for (let b = -1; b <= 1; b += 1)
          for (const point of grid.get(`${Math.floor(x / CELL) + a} ${Math.floor(y / CELL) + b}`) ?? []) {
            const far = (point[0] - x) ** 2 + (point[1] - y) ** 2;
            if (far <= reach) { reach = far; best = point; }
          }
      return best;
    }

    function hover(event) {
      const frame = canvas.getBoundingClientRect();
      const found = nearest(event.clientX - frame.left, event.clientY - frame.top);
      ring.hidden = tip.hidden = !found;
      if (!found) return;
      const [x, y, s, i] = found;
      const set = data.sets[s];
      ring.style.left = `${x}px`;
      ring.style.top = `${y}px`;
      one("b", tip).textContent = data.classes[set.c[i]];
      one("span", tip).textContent = set.name;
      one("small", tip).textContent = set.k[i] ?? "";
      const source = document.getElementById(`t${set.t[i]}`);
      const image = one("img", tip);
      image.hidden = !source;
      if (source) { image.src = source.src; image.className = source.className; }
      const room = x + 22 + tip.offsetWidth < box.clientWidth;
      tip.style.left = `${Math.max(4, room ? x + 16 : x - 16 - tip.offsetWidth)}px`;
      tip.style.top = `${Math.max(4, Math.min(y + 12, box.clientHeight - tip.offsetHeight - 4))}px`;
    }

    const leave = () => { ring.hidden = tip.hidden = true; };
    buttons.forEach((button) =>
      button.addEventListener("click", () => {
        button.ariaPressed = String(button.ariaPressed !== "true");
        leave();
        draw();
      }));
    pick.addEventListener("change", () => { leave(); draw(); });
    canvas.addEventListener("pointermove", hover);
    canvas.addEventListener("pointerdown", hover);
    canvas.addEventListener("pointerleave", leave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    let known = 0;
    new ResizeObserver(() => {
      if (box.clientWidth !== known) draw();
      known = box.clientWidth;
    }).observe(box);
  }

  function openTarget() {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.tagName === "DETAILS") target.open = true;
  }

  const classes = one("#class-table");
  if (classes) classTable(classes);
  const trials = one("#trial-table");
  if (trials) sortable(trials);
  if (one("#matrix")) matrix(one("#matrix-metric"), one("#matrix"));
  if (one("#map-box")) map(one("#map-box"));
  peeks();
  addEventListener("hashchange", openTarget);
  openTarget();
})();
