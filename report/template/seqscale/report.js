/* The page's script. Without it everything can be read; with it tables sort and filter, commands copy, and each figure
   becomes one that can be pointed at, zoomed and toggled. Figures are drawn when they come near the window; Plotly,
   which is carried compressed at the page's end, is unpacked for the first of them, after the page has been painted. */
"use strict";
(() => {
const $ = (query, from = document) => from.querySelector(query);
const $$ = (query, from = document) => [...from.querySelectorAll(query)];
const make = (tag, attributes = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes))
    key in element && key !== "list" ? (element[key] = value) : element.setAttribute(key, value);
  element.append(...inside);
  return element;
};
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const phone = matchMedia("screen and (max-width: 46rem)");
const touch = matchMedia("(pointer: coarse)");
const looks = JSON.parse($("#looks")?.textContent || "{}");
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const tone = model => { const l = looks[model]; return l ? (dark.matches ? l.dark : l.light) : colour("ink"); };

/* ---- numbers in words */
const plain = v => v === 0 ? "0" : Math.abs(v) >= 1e-3 && Math.abs(v) < 1e6
  ? String(+v.toPrecision(4)) : v.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
const si = (v, unit) => {
  if (v === 0) return `0 ${unit}`;
  const [size, letter] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]]
    .find(([s]) => Math.abs(v) >= s * 0.9995) || [1e-9, "n"];
  return `${+(v / size).toPrecision(3)} ${letter}${unit}`;
};
const shown = (v, axis) => v == null ? "none" : axis.share ? `${+(100 * v).toFixed(1)} %` : axis.unit ? si(v, axis.unit)
  : axis.lengths ? v.toLocaleString("en") : Math.abs(v) >= 1e6 ? si(v, "") : plain(v);
const safe = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

/* ---- Plotly, unpacked once */
let plotly;
const unpack = async () => {
  const packed = atob($("#plotly").textContent.trim());
  const bytes = Uint8Array.from(packed, letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = make("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  return window.Plotly;
};
const library = () => plotly ||= unpack();

/* ---- one panel of a figure in Plotly's words */
const ranges = values => [Math.min(...values), Math.max(...values)];
const axisOf = (axis, log, values, which) => {
  const base = {title: {text: phone.matches && which === "x" && axis.label.length > 34 ? wrap(axis.label) : axis.label, font: {size: 12}}, type: log ? "log" : "linear", automargin: true,
    gridcolor: colour("faint"), zeroline: false, linecolor: colour("muted"), showline: true, ticks: "outside",
    ticklen: 4, tickcolor: colour("muted"), tickfont: {size: 11}};
  if (axis.share) return {...base, tickformat: ".0%"};
  // Ticks at the values themselves: lengths, and handfuls of round numbers such as a grid of learning rates.
  const round = new Set(values).size <= 4 && values.every(v => +v.toPrecision(2) === v);
  if (log && (axis.lengths || round)) {
    const all = [...new Set(values)].sort((a, b) => a - b), [low, high] = ranges(all);
    const kept = all.filter((v, i) => i === 0 || Math.log(v / all[0]) / (Math.log(high / low) || 1) > 0)
      .reduce((k, v) => !k.length || Math.log(v / k[k.length - 1]) / (Math.log(high / low) || 1) > (innerWidth < 600 ? 0.17 : 0.09) ? [...k, v] : k, []);
    const text = v => v >= 1e4 && v % 1024 === 0 ? `${v / 1024}Ki` : String(v);
    return {...base, tickvals: kept, ticktext: kept.map(text)};
  }
  if (log) return {...base, ...ticksOf(axis, ranges(values.filter(v => v > 0)), which)};
  if (axis.unit) return {...base, tickformat: "~s", ticksuffix: axis.unit, nticks: 8};
  return {...base, tickformat: values.some(v => Math.abs(v) >= 1e4) ? "~s" : "", nticks: 8};
};
// Ticks of a logarithmic axis over [low, high]: about four to eight, at round numbers.
const ticksOf = (axis, [low, high], which) => {
  const decades = Math.log10(high / low);
  const few = phone.matches && which === "x";  // labels side by side need room
  const digits = few ? (decades < 0.3 ? [1, 1.2, 1.5, 2, 3, 5, 7] : decades < 1 ? [1, 2, 5] : decades < 2 ? [1, 3] : [1])
    : decades < 0.15 ? Array.from({length: 91}, (_, i) => 1 + i / 10) : decades < 0.5 ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]
    : decades < 1.2 ? [1, 2, 3, 5, 7] : decades < 2.5 ? [1, 2, 5] : decades < 3.5 ? [1, 3] : [1];
  const every = Math.max(1, Math.round(decades / (few ? 4 : 7))), values = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)) + 1; power++)
    if (decades < (few ? 2 : 3.5) || power % every === 0) values.push(...digits.map(d => +(d * 10 ** power).toPrecision(3)));
  if (values.filter(v => v >= low && v <= high).length < 2)  // too short a range for round numbers: its ends
    values.splice(0, values.length, ...new Set([low, high].map(v => +v.toPrecision(4))));
  return {tickvals: values, ticktext: values.map(v => axis.unit || v >= 1e4 ? si(v, axis.unit) : plain(v))};
};

const lines = (panel, log) => {
  const traces = [], xs = [], ys = [];
  for (const s of panel.series) {
    const c = tone(s.m), look = looks[s.m] || {symbol: "circle", dash: "solid"};
    xs.push(...s.x.filter(v => v != null));
    if (!panel.clip || !s.faint) ys.push(...s.y.filter(v => v != null));
    const between = i => s.lo && s.lo[i] != null && s.hi[i] != null
      ? ` [${shown(s.lo[i], panel.y)}, ${shown(s.hi[i], panel.y)}]${s.w ? ` (${safe(s.w)})` : ""}` : "";
    const hover = s.x.map((x, i) => `<b>${safe(s.k)}</b><br>${shown(x, panel.x)} → ${shown(s.y[i], panel.y)}${between(i)}`
      + (s.ring?.[i] ? "<br>chosen" : "") + (panel.slopes && s.n !== s.k && !s.published ? `<br>exponent${safe(s.n.slice(s.k.length))}` : ""));
    const group = {meta: s.m + "|" + (looks[s.m] && !s.m.startsWith("@") ? looks[s.m].title : s.k)};
    if (s.band && s.lo) {
      const good = s.x.map((_, i) => i).filter(i => s.lo[i] != null && s.hi[i] != null);
      traces.push({...group, x: [...good.map(i => s.x[i]), ...good.map(i => s.x[i]).reverse()],
        y: [...good.map(i => s.hi[i]), ...good.map(i => s.lo[i]).reverse()], fill: "toself", mode: "lines",
        line: {width: 0}, fillcolor: c + "2b", hoverinfo: "skip"});
    }
    const trace = {...group, x: s.x, y: s.y, name: s.k, mode: s.faint ? "lines" : "lines+markers", customdata: hover,
      hovertemplate: "%{customdata}<extra></extra>", line: {color: c, dash: s.published ? "dot" : look.dash,
        width: s.faint || s.published ? 1 : 2},
      marker: {color: s.published ? colour("paper") : c, symbol: look.symbol, size: s.ring ? s.ring.map(r => r ? 13 : 7)
        : s.published ? 9 : 7, line: {color: c, width: s.published ? 1.6 : 0}}};
    if (s.lo && !s.band) trace.error_y = {type: "data", symmetric: false, thickness: 1, width: 3, color: c,
      array: s.y.map((y, i) => s.hi[i] == null ? 0 : Math.max(0, s.hi[i] - y)),
      arrayminus: s.y.map((y, i) => s.lo[i] == null ? 0 : Math.max(0, y - s.lo[i]))};
    traces.push(trace);
  }
  for (const m of panel.marks) {
    const top = m.y == null;
    traces.push({x: [m.x], y: [top ? 0.96 : m.y], yaxis: top ? "y2" : "y", mode: "markers", meta: m.m + "|"
      + (looks[m.m]?.title || m.n), customdata: [`<b>${safe(m.t)}</b>`], hovertemplate: "%{customdata}<extra></extra>",
      cliponaxis: false, marker: {symbol: "x", size: 11, color: tone(m.m), line: {color: colour("paper"), width: 1}}});
    xs.push(m.x);
  }
  if (panel.slopes && log.x && log.y && Math.max(...ys) > 5 * Math.min(...ys)) {
    const [left, right] = ranges(xs.filter(v => v > 0)), [bottom, top] = ranges(ys.filter(v => v > 0));
    for (const power of [1, 2]) {
      const end = Math.min(right, left * (top / bottom) ** (1 / power));
      traces.unshift({x: [left, end], y: [bottom, bottom * (end / left) ** power], mode: "lines+text", hoverinfo: "skip",
        text: ["", `slope ${power}`], textposition: "bottom left", textfont: {size: 10, color: colour("muted")},
        line: {color: colour("faint"), width: 1.5}});
    }
  }
  const y = axisOf(panel.y, log.y, ys, "y");
  if (panel.clip && ys.length) {
    const [low, high] = ranges(log.y ? ys.map(Math.log10) : ys), margin = 0.06 * (high - low) || 0.1;
    y.range = [low - margin, high + margin];
  }
  return {traces, layout: {xaxis: axisOf(panel.x, log.x, xs, "x"), yaxis: y, height: 360,
    yaxis2: {overlaying: "y", range: [0, 1], visible: false, fixedrange: true}}};
};

const wrap = text => text.replace(/(.{18,30}?)[ ]/g, "$1<br>");
const dots = (panel, log) => {
  const traces = [], shapes = [], values = [];
  panel.rows.forEach((r, at) => {
    const c = tone(r.m), look = looks[r.m] || {symbol: "circle"};
    values.push(...[r.v, r.lo, r.hi, r.p, ...r.s, ...(r.r || [])].filter(v => v != null));
    const told = [`<b>${safe(r.n)}</b>`, r.v == null ? "not measured" : `measured ${shown(r.v, panel.x)}`
      + (r.lo == null ? "" : ` [${shown(r.lo, panel.x)}, ${shown(r.hi, panel.x)}]${r.w ? ` (${safe(r.w)})` : ""}`)];
    if (r.p != null) told.push(`published ${shown(r.p, panel.x)}`);
    if (r.t) told.push(safe(r.t));
    const group = {meta: r.m + "|" + (looks[r.m] && !r.m.startsWith("@") ? looks[r.m].title : r.n)};
    const hover = {customdata: [told.join("<br>")], hovertemplate: "%{customdata}<extra></extra>"};
    traces.push({...group, ...hover, x: [r.v], y: [at], mode: "markers", error_x: r.lo == null ? undefined : {type: "data",
      symmetric: false, array: [r.hi - r.v], arrayminus: [r.v - r.lo], color: c, thickness: 4, width: 0},
      marker: {color: c, symbol: look.symbol, size: 11, line: {color: colour("paper"), width: 1}}});
    if (r.s.length) traces.push({...group, x: r.s, y: r.s.map(() => at), mode: "markers", marker: {color: colour("ink"),
      size: 4}, customdata: r.s.map(v => `<b>${safe(r.n)}</b><br>one seed: ${shown(v, panel.x)}`),
      hovertemplate: "%{customdata}<extra></extra>"});
    if (r.p != null) traces.push({...group, ...hover, x: [r.p], y: [at], mode: "markers", marker: {symbol: "diamond-tall",
      size: 14, color: "rgba(0,0,0,0)", line: {color: colour("ink"), width: 1.6}}});
    if (r.t) traces.push({...group, ...hover, x: [0.985], y: [at], xaxis: "x2", mode: "markers", marker: {symbol: "x",
      size: 10, color: c}});
  });
  let view = panel.view;
  if (!view && values.length) {
    const [low, high] = ranges(log.x ? values.map(Math.log10) : values), margin = 0.08 * (high - low) || 0.1;
    view = [low - margin, high + margin];
  }
  panel.rows.forEach((r, at) => {
    if (!r.r) return;
    const place = v => log.x ? Math.log10(v) : v;
    const [low, high] = [r.r[0] == null ? view[0] : place(r.r[0]), r.r[1] == null ? view[1] : place(r.r[1])];
    const real = v => log.x ? 10 ** v : v;
    shapes.push({type: "rect", layer: "below", x0: real(low), x1: real(high), y0: at - 0.24, y1: at + 0.24,
      fillcolor: colour("faint"), line: {width: 0}});
  });
  for (const guide of panel.guides) shapes.push({type: "line", layer: "below", x0: guide, x1: guide, yref: "paper", y0: 0,
    y1: 1, line: {color: colour("muted"), width: 1}});
  const x = axisOf(panel.x, log.x, values, "x");
  if (view) x.range = view;
  return {traces, layout: {shapes, xaxis: x, xaxis2: {overlaying: "x", range: [0, 1], visible: false, fixedrange: true},
    yaxis: {tickvals: panel.rows.map((_, i) => i), ticktext: panel.rows.map(r => wrap(safe(r.n))), automargin: true,
      range: [panel.rows.length - 0.4, -0.6], gridcolor: colour("faint"), zeroline: false, tickfont: {size: 11}},
    height: Math.max(150, 96 + 30 * panel.rows.length)}};
};

/* ---- a figure: its panels, its tools */
const figures = [];
class Figure {
  constructor(element) {
    this.element = element;
    this.spec = JSON.parse($(".spec", element).textContent);
    this.hidden = new Set();
    this.log = this.spec.panels.map(p => ({x: p.x.log, y: p.y?.log || false}));
    this.tools();
  }
  tools() {
    const bar = $(".tools", this.element), keys = new Map();
    for (const p of this.spec.panels)
      for (const s of p.series || p.rows) {
        const name = looks[s.m] && !s.m.startsWith("@") ? looks[s.m].title : s.k || s.n;
        if (p.kind === "lines" || (looks[s.m] && !s.m.startsWith("@"))) keys.set(s.m + "|" + name, [s.m, name]);
      }
    if (keys.size > 1) {
      const list = make("div", {className: "legend", role: "group"});
      list.setAttribute("aria-label", "Show or hide");
      for (const [key, [model, name]] of keys) {
        const button = make("button", {type: "button", className: "key"}, marker(model), name);
        button.setAttribute("aria-pressed", "true");
        button.onclick = () => {
          this.hidden.has(key) ? this.hidden.delete(key) : this.hidden.add(key);
          button.setAttribute("aria-pressed", String(!this.hidden.has(key)));
          this.draw();
        };
        list.append(button);
      }
      bar.append(list);
    }
    const row = make("div", {className: "buttons"});
    for (const which of ["x", "y"]) {
      if (!this.spec.panels.some((p, i) => this.positive(p, which))) continue;
      const on = () => this.log.some(l => l[which]);
      const button = make("button", {type: "button"}, `Log ${which}`);
      button.setAttribute("aria-pressed", String(on()));
      button.onclick = () => {
        const to = !on();
        this.spec.panels.forEach((p, i) => { if (this.positive(p, which)) this.log[i][which] = to; });
        button.setAttribute("aria-pressed", String(on()));
        this.draw();
      };
      row.append(button);
    }
    const reset = make("button", {type: "button", className: "reset"}, "Reset zoom");
    reset.onclick = () => this.draw(true);
    const table = make("button", {type: "button"}, "Numbers");
    table.setAttribute("aria-expanded", "false");
    table.onclick = () => this.values(table);
    row.append(reset, table, ...["svg", "png", "csv"].map(kind => {
      const button = make("button", {type: "button", className: "save"}, kind.toUpperCase());
      button.dataset.kind = kind;
      button.setAttribute("aria-label", `Save ${this.spec.title} as ${kind.toUpperCase()}`);
      button.onclick = () => this.save(kind);
      return button;
    }));
    bar.append(row);
    bar.hidden = false;
  }
  positive(panel, which) {  // whether an axis can be logarithmic
    if (panel.kind === "dots") return which === "x" && !panel.x.share && !panel.guides.length
      && panel.rows.every(r => [r.v, r.lo, r.p, ...r.s].every(v => v == null || v > 0));
    return panel.series.every(s => s[which].every(v => v == null || v > 0));
  }
  async draw(fresh = false) {
    const Plotly = await library(), live = $(".live", this.element);
    const font = {family: getComputedStyle(document.body).fontFamily, color: colour("ink")};
    live.hidden = false;
    while (live.children.length < this.spec.panels.length) {  // all boxes first: their widths depend on each other
      const box = make("div", {className: "plotbox"}, make("p", {className: "panel-title"},
        this.spec.panels[live.children.length].title), make("div"));
      box.lastChild.setAttribute("role", "img");
      box.lastChild.setAttribute("aria-label", this.spec.alt);
      live.append(box);
    }
    this.spec.panels.forEach((panel, i) => {
      const {traces, layout} = (panel.kind === "lines" ? lines : dots)(panel, this.log[i]);
      for (const trace of traces) trace.visible = !this.hidden.has(trace.meta);
      const box = live.children[i].lastChild, first = !box.data;
      Plotly.react(box, traces, {...layout, font, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)", margin: {l: 56, r: 18, t: 8, b: 44}, hovermode: "closest", autosize: true,
        hoverlabel: {bgcolor: colour("panel"), bordercolor: colour("muted"), font: {color: colour("ink"), size: 13},
          align: "left"}, dragmode: touch.matches ? false : "zoom",
        uirevision: fresh ? Math.random() : JSON.stringify(this.log[i])}, {displayModeBar: false, responsive: true,
        doubleClick: "reset"});
      if (first) box.on("plotly_relayout", change => {  // zoomed: ticks that suit the new range
        for (const which of ["x", "y"]) {
          const axis = panel[which], at = [0, 1].map(k => change[`${which}axis.range[${k}]`]);
          if (axis && this.log[i][which] && !axis.lengths && at[0] != null) {
            const {tickvals, ticktext} = ticksOf(axis, at.map(v => 10 ** v), which);
            Plotly.relayout(box, {[`${which}axis.tickvals`]: tickvals, [`${which}axis.ticktext`]: ticktext});
          }
        }
      });
    });
    this.element.classList.add("drawn");
  }
  values(button) {
    const box = $(".values", this.element);
    if (!box.childElementCount) {
      const [head, ...rows] = parse(this.spec.csv);
      const table = make("table", {}, make("caption", {}, `The numbers of “${this.spec.title}”`),
        make("thead", {}, make("tr", {}, ...head.map(h => make("th", {scope: "col"}, h.replace(/_/g, " "))))),
        make("tbody", {}, ...rows.map(r => make("tr", {}, ...r.map(c =>
          make("td", {}, c !== "" && isFinite(c) ? String(+(+c).toPrecision(6)) : c))))));
      const scroll = make("div", {className: "scroll", tabIndex: 0}, table);
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", `Numbers of ${this.spec.title}`);
      box.append(scroll);
    }
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
  }
  vector() {
    const svg = $("svg.plot", this.element).cloneNode(true), [, , w, h] = svg.getAttribute("viewBox").split(" ");
    svg.removeAttribute("style");
    svg.setAttribute("width", w);
    svg.setAttribute("height", h);
    return ['<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(svg), +w, +h];
  }
  async save(kind) {
    const name = `${this.spec.name}.${kind}`;
    if (kind === "csv") return give(new Blob([this.spec.csv], {type: "text/csv;charset=utf-8"}), name);
    const [text, w, h] = this.vector();
    const blob = new Blob([text], {type: "image/svg+xml"});
    if (kind === "svg") return give(blob, name);
    const picture = new Image(), canvas = make("canvas", {width: w * 2.5, height: h * 2.5});
    picture.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
    await picture.decode();
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(png => give(png, name), "image/png");
  }
}
const give = (blob, name) => {
  const link = make("a", {href: URL.createObjectURL(blob), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
const parse = text => {
  const rows = [[""]];
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const row = rows[rows.length - 1], c = text[i];
    if (quoted && c === '"' && text[i + 1] === '"') { row[row.length - 1] += c; i++; }
    else if (c === '"') quoted = !quoted;
    else if (c === "," && !quoted) row.push("");
    else if (c === "\n" && !quoted) rows.push([""]);
    else if (c !== "\r" || quoted) row[row.length - 1] += c;
  }
  return rows.filter(r => r.length > 1 || r[0] !== "");
};
const marker = model => {
  const box = make("span", {className: "swatch"}), look = looks[model];
  if (look) box.innerHTML = `<svg class="marker" viewBox="0 0 14 14" aria-hidden="true" style="--light:${look.light};--dark:`
    + `${look.dark}"><path d="${look.path}"/></svg>`;
  return box;
};

/* ---- a phone: what is long is folded away at first; links into it open it again */
if (phone.matches) $$("details.fold").forEach(d => { d.open = false; });

/* ---- draw what comes near, one after the other */
let queue = Promise.resolve();
const near = new IntersectionObserver(seen => {
  for (const {target, isIntersecting} of seen) if (isIntersecting) {
    near.unobserve(target);
    queue = queue.then(() => new Promise(go => (window.requestIdleCallback || setTimeout)(go, {timeout: 300})))
      .then(() => target.figure.draw()).catch(error => {
        target.classList.add("static");  // the picture stays
        console.warn("a figure stays a picture:", error);
      });
  }
}, {rootMargin: "500px"});
const canDraw = "DecompressionStream" in window && $("#plotly");
$$("figure.chart").filter(f => $(".spec", f)).forEach(element => {
  element.figure = new Figure(element);
  figures.push(element.figure);
  if (canDraw) near.observe(element);
});
window.drawAllFigures = async () => { for (const f of figures) await f.draw(); return figures.length; };
dark.addEventListener("change", () => figures.filter(f => f.element.classList.contains("drawn")).forEach(f => f.draw()));

/* ---- the verdict board: sort and filter */
const board = $("#board");
if (board) {
  const body = board.tBodies[0], rows = [...body.rows], form = $(".filters"), status = $(".shown");
  rows.forEach((row, i) => { row.order = i; });
  const key = (row, column) => {
    const cell = row.cells[column], rank = $("[data-rank]", cell);
    return column === 0 ? row.order : rank ? +rank.dataset.rank : cell.textContent.trim().toLowerCase();
  };
  $$("th.sortable", board).forEach((head, column) => {
    const button = make("button", {type: "button"}, ...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      $$("th", board).forEach(h => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        return (x < y ? -1 : x > y ? 1 : a.order - b.order) * (down ? -1 : 1);
      });
      body.append(...rows);
    };
  });
  const filter = () => {
    const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean), source = form.source.value;
    const kinds = $$("[data-verdict][aria-pressed=true]", form).map(b => `[${b.dataset.verdict}]`);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const stays = words.every(w => text.includes(w)) && (!source || row.dataset.source === source)
        && (!kinds.length || kinds.some(k => row.dataset.kinds.includes(k)));
      row.hidden = !stays;
      count += stays;
    }
    status.textContent = `${count} of ${rows.length} claims shown`;
  };
  form.oninput = filter;
  form.onsubmit = event => event.preventDefault();
  $$("[data-verdict]", form).forEach(button => button.onclick = () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    filter();
  });
  form.hidden = false;
  if (phone.matches) $$("[data-verdict]", form).forEach(button => {  // on a phone, first what was tested
    button.setAttribute("aria-pressed", String(button.dataset.verdict !== "not tested"));
  });
  filter();
}

/* ---- copy a command; open what a link points into */
$$(".copy").forEach(button => {
  button.hidden = false;
  button.onclick = async () => {
    const text = $("code", button.parentElement).textContent;
    try { await navigator.clipboard.writeText(text); } catch {
      getSelection().selectAllChildren($("code", button.parentElement));
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
});
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  const own = target && target.matches(".dossier") && $(":scope > details.fold", target);
  if (own) own.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
if (location.hash) reveal();
let opened = [];
addEventListener("beforeprint", () => { opened = $$("details:not([open]):not(.long)"); opened.forEach(d => { d.open = true; }); });
addEventListener("afterprint", () => opened.forEach(d => { d.open = false; }));
})();
