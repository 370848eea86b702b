"use strict";
// Redraws each chart from its numbers, so that it can be pointed at, zoomed and thinned out.
const NS = "http://www.w3.org/2000/svg";
const H = 400, L = 60, R = 26, T = 10, B = 44;
const short = (v) => String(Number(v.toPrecision(Number.isInteger(v) ? 15 : 4)));

function node(parent, name, attributes, text) {
  const made = parent.namespaceURI === NS || name === "svg" ? document.createElementNS(NS, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}

function ticks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) || rough;
  const all = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) all.push(i * step);
  return all;
}

function live(figure) {
  const data = JSON.parse(document.getElementById(figure.dataset.figure).textContent);
  const points = data.series.map((s) => s.points.filter((p) => p[0] !== null && p[1] !== null));
  const shown = data.series.map(() => true);
  const color = (i) => `var(--s${data.series[i].color % 8})`;
  const xs = points.flat().map((p) => p[0]);
  if (xs.length === 0) return;
  const whole = [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b))];
  if (whole[0] === whole[1]) whole[1] += 1;
  let [from, to] = whole;
  figure.replaceChildren();
  figure.classList.add("live");
  const names = node(figure, "div", { class: "names" });
  node(names, "strong", {}, data.title);
  data.series.forEach((s, i) => {
    const button = node(names, "button", { type: "button", "aria-pressed": "true" });
    node(button, "i", { style: `background:${color(i)};opacity:${s.faint ? 0.4 : 1}` });
    button.append(s.name);
    button.onclick = () => {
      shown[i] = !shown[i];
      button.setAttribute("aria-pressed", shown[i]);
      draw();
    };
  });
  // A narrow screen gets a narrow chart, not small letters.
  const W = Math.max(320, Math.min(760, figure.clientWidth));
  const svg = node(figure, "svg", { viewBox: `0 0 ${W} ${H}`, width: W, height: H, role: "img", "aria-label": data.title });
  // The series with the most points says where the pointer's line may stand.
  const finest = points.reduce((best, all, i) => (all.length > points[best].length ? i : best), 0);
  let x, y, back, front;

  function draw() {
    const seen = points.filter((_, i) => shown[i]).flat().filter((p) => p[0] >= from && p[0] <= to).map((p) => p[1]);
    let low = seen.reduce((a, b) => Math.min(a, b), Infinity), high = seen.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!(low < high)) [low, high] = low === high ? [low - 0.5, high + 0.5] : [0, 1];
    const margin = (high - low) * 0.04;
    low -= margin;
    high += margin;
    x = (v) => L + ((v - from) / (to - from)) * (W - L - R);
    y = (v) => H - B - ((v - low) / (high - low)) * (H - B - T);
    x.back = (px) => from + ((px - L) / (W - L - R)) * (to - from);
    svg.replaceChildren();
    for (const v of ticks(from, to, W / 90)) {
      node(svg, "path", { d: `M${x(v)} ${T}V${H - B}`, style: "stroke:var(--grid)" });
      node(svg, "text", { x: Math.min(x(v), W - 3.4 * short(v).length), y: H - B + 18, "text-anchor": "middle", style: "fill:var(--ink)" }, short(v));
    }
    for (const v of ticks(low, high, 6)) {
      node(svg, "path", { d: `M${L} ${y(v)}H${W - R}`, style: "stroke:var(--grid)" });
      node(svg, "text", { x: L - 6, y: y(v) + 4, "text-anchor": "end", style: "fill:var(--ink)" }, short(v));
    }
    node(svg, "text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle", style: "fill:var(--ink)" }, data.x_label);
    const up = { transform: `translate(13 ${(T + H - B) / 2}) rotate(-90)`, "text-anchor": "middle", style: "fill:var(--ink)" };
    node(svg, "text", up, data.y_label);
    data.series.forEach((s, i) => {
      if (!shown[i]) return;
      const inside = points[i].filter((p) => p[0] >= from && p[0] <= to);
      const d = inside.map((p, k) => `${k ? "L" : "M"}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`).join("");
      const style = `fill:none;stroke:${color(i)};stroke-width:${s.faint ? 1 : 2};stroke-opacity:${s.faint ? 0.35 : 1}`;
      node(svg, "path", { d, style });
    });
    back = node(svg, "rect", { x: 0, y: T, width: 0, height: H - B - T, style: "fill:var(--s0);fill-opacity:.15" });
    front = node(svg, "g", {});
  }

  const at = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(W - R, Math.max(L, ((event.clientX - box.left) / box.width) * W));
  };
  let start = null;
  svg.onpointerdown = (event) => {
    start = at(event);
    svg.setPointerCapture(event.pointerId);
  };
  svg.onpointermove = (event) => {
    const px = at(event), value = x.back(px);
    front.replaceChildren();
    if (start !== null) {
      back.setAttribute("x", Math.min(start, px));
      back.setAttribute("width", Math.abs(px - start));
    }
    const near = points.map((all, i) => {
      if (!shown[i] || all.length === 0) return null;
      let low = 0, high = all.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (all[middle][0] < value) low = middle;
        else high = middle;
      }
      return value - all[low][0] < all[high][0] - value ? all[low] : all[high];
    });
    const lines = near.map((p, i) => p && `${data.series[i].name}: ${short(p[1])}`).filter(Boolean);
    if (lines.length === 0) return;
    const here = near[finest] || near.find(Boolean);
    node(front, "path", { d: `M${x(here[0])} ${T}V${H - B}`, style: "stroke:var(--ink);stroke-opacity:.4" });
    near.forEach((p, i) => {
      if (p && p[0] >= from && p[0] <= to) node(front, "circle", { cx: x(p[0]), cy: y(p[1]), r: 4, style: `fill:${color(i)}` });
    });
    lines.unshift(`${data.x_label} ${short(here[0])}`);
    const wide = 14 + 6.4 * lines.reduce((a, l) => Math.max(a, l.length), 0);
    const left = px + 12 + wide > W ? px - 12 - wide : px + 12;
    const box = { x: left, y: T + 4, width: wide, height: 10 + 15 * lines.length, rx: 3 };
    node(front, "rect", { ...box, style: "fill:var(--paper);stroke:var(--grid)" });
    lines.forEach((line, k) => node(front, "text", { x: left + 7, y: T + 20 + 15 * k, style: "fill:var(--ink)" }, line));
  };
  svg.onpointerup = (event) => {
    const end = at(event);
    if (start !== null && Math.abs(end - start) > 5) {
      [from, to] = [start, end].sort((a, b) => a - b).map((px) => x.back(px));
      draw();
    }
    start = null;
  };
  svg.onpointerleave = () => front.replaceChildren();
  svg.ondblclick = () => {
    [from, to] = whole;
    draw();
  };
  draw();
}

document.querySelectorAll(".chart").forEach(live);
