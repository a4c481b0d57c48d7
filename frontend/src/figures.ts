// A figure as SVG, with its numbers as a table beneath: lines, points or bars, with intervals.

import { el, svg } from "./dom";
import type { Figure, Series } from "./data";

const WIDTH = 520;
const HEIGHT = 300;
const LEFT = 58;
const RIGHT = 14;
const TOP = 14;
const BOTTOM = 46;
const MARKS = ["circle", "square", "diamond", "triangle", "cross", "ring"];

export function figure(data: Figure): HTMLElement {
  const made = el("figure", {});
  made.append(el("h3", {}, data.title), picture(data), legend(data), caption(data), numbers(data));
  return made;
}

function legend(data: Figure): HTMLElement {
  const list = el("ul", { class: "legend" });
  data.series.forEach((series, index) => {
    const key = svg("svg", { width: 26, height: 14, viewBox: "0 0 26 14", "aria-hidden": true, style: "display:inline;width:26px" });
    const colour = `var(--series-${index % 6})`;
    if (series.kind !== "points") key.append(svg("line", { x1: 1, x2: 25, y1: 7, y2: 7, stroke: colour, "stroke-width": 2 }));
    key.append(mark(13, 7, index, colour));
    list.append(el("li", {}, key, ` ${series.name}`));
  });
  return list;
}

function caption(data: Figure): HTMLElement {
  const made = el("figcaption", {}, data.about);
  if (data.command) made.append(el("br", {}), el("code", {}, data.command));
  return made;
}

function shown(value: number, percent: boolean | undefined): string {
  if (percent) return `${(100 * value).toFixed(1)} %`;
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function numbers(data: Figure): HTMLElement {
  const body = el("tbody", {});
  for (const series of data.series)
    for (const point of series.points) {
      const interval =
        point.low === undefined || point.high === undefined
          ? ""
          : `${shown(point.low, data.percent_y)} to ${shown(point.high, data.percent_y)}`;
      const x = typeof point.x === "number" ? shown(point.x, false) : point.x;
      body.append(
        el("tr", {}, el("td", {}, series.name), el("td", {}, point.label ? `${x} (${point.label})` : x), el("td", {}, shown(point.y, data.percent_y)), el("td", {}, interval)),
      );
    }
  const head = ["series", data.x, data.y, "95 % interval"].map((text) => el("th", { scope: "col" }, text));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...head)), body);
  return el("details", {}, el("summary", {}, "The numbers"), el("div", { class: "scroll" }, table));
}

interface Scale {
  at(value: number): number;
  ticks: number[];
}

function scale(values: number[], from: number, to: number, zero: boolean): Scale {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (zero || low > 0) low = Math.min(0, low);
  if (high === low) high = low + 1;
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
  low = Math.floor(low / step) * step;
  high = Math.ceil(high / step - 1e-9) * step;
  const ticks: number[] = [];
  for (let tick = low; tick <= high + step / 2; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return { at: (value) => from + ((value - low) / (high - low)) * (to - from), ticks };
}

function picture(data: Figure): SVGElement {
  const points = data.series.flatMap((series) => series.points);
  const ys = points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]);
  const y = scale(ys, HEIGHT - BOTTOM, TOP, true);
  const names = data.categories ? [...new Set(points.map((point) => String(point.x)))] : [];
  const x = data.categories ? null : scale(points.map((point) => Number(point.x)), LEFT, WIDTH - RIGHT, false);
  const place = (value: number | string): number =>
    x ? x.at(Number(value)) : LEFT + ((names.indexOf(String(value)) + 0.5) / names.length) * (WIDTH - LEFT - RIGHT);
  const root = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": `${data.title}: ${data.y} against ${data.x}. The numbers are in the table below.`,
  });
  axes(root, data, y, x, names, place);
  data.series.forEach((series, index) => plot(root, data, series, index, place, y));
  return root;
}

function text(x: number, y: number, content: string, more: Record<string, string | number> = {}): SVGElement {
  return svg("text", { x, y, fill: "var(--quiet)", "font-size": 12, "text-anchor": "middle", ...more }, content);
}

function axes(root: SVGElement, data: Figure, y: Scale, x: Scale | null, names: string[], place: (v: number | string) => number): void {
  for (const tick of y.ticks) {
    const at = y.at(tick);
    root.append(
      svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at, stroke: "var(--line)", "stroke-width": tick === 0 ? 1.5 : 0.7 }),
      text(LEFT - 6, at + 4, data.percent_y ? `${Number((100 * tick).toPrecision(6))} %` : String(tick), { "text-anchor": "end" }),
    );
  }
  if (x) for (const tick of x.ticks) root.append(text(x.at(tick), HEIGHT - BOTTOM + 17, String(tick)));
  else
    names.forEach((name, index) => {
      const low = names.length > 6 && index % 2 === 1 ? 13 : 0;
      root.append(text(place(name), HEIGHT - BOTTOM + 16 + low, name, { "font-size": names.length > 4 ? 10.5 : 12 }));
    });
  root.append(
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, data.x, { fill: "var(--text)" }),
    text(13, (TOP + HEIGHT - BOTTOM) / 2, data.y, { fill: "var(--text)", transform: `rotate(-90 13 ${(TOP + HEIGHT - BOTTOM) / 2})` }),
  );
}

function plot(root: SVGElement, data: Figure, series: Series, index: number, place: (v: number | string) => number, y: Scale): void {
  const colour = `var(--series-${index % 6})`;
  const shift = data.categories ? (index - (data.series.length - 1) / 2) * 9 : 0;
  const spots = series.points.map((point) => ({ point, x: place(point.x) + shift, y: y.at(point.y) }));
  if (series.kind !== "points" && series.kind !== "bars")
    root.append(svg("polyline", { points: spots.map((spot) => `${spot.x},${spot.y}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
  for (const spot of spots) {
    const { low, high } = spot.point;
    if (low !== undefined && high !== undefined)
      root.append(svg("line", { x1: spot.x, x2: spot.x, y1: y.at(low), y2: y.at(high), stroke: colour, "stroke-width": 1.5 }));
    if (series.kind === "bars")
      root.append(svg("line", { x1: spot.x, x2: spot.x, y1: y.at(0), y2: spot.y, stroke: colour, "stroke-width": 7 }));
    if (spots.length <= 60 || series.kind === "points") root.append(mark(spot.x, spot.y, index, colour));
  }
}

function mark(x: number, y: number, index: number, colour: string): SVGElement {
  switch (MARKS[index % MARKS.length]) {
    case "circle":
      return svg("circle", { cx: x, cy: y, r: 4, fill: colour });
    case "square":
      return svg("rect", { x: x - 3.6, y: y - 3.6, width: 7.2, height: 7.2, fill: colour });
    case "diamond":
      return svg("path", { d: `M${x} ${y - 5}L${x + 5} ${y}L${x} ${y + 5}L${x - 5} ${y}Z`, fill: colour });
    case "triangle":
      return svg("path", { d: `M${x} ${y - 5}L${x + 5} ${y + 4}L${x - 5} ${y + 4}Z`, fill: colour });
    case "cross":
      return svg("path", { d: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x - 4} ${y + 4}L${x + 4} ${y - 4}`, stroke: colour, "stroke-width": 2.4 });
    default:
      return svg("circle", { cx: x, cy: y, r: 4, fill: "var(--back)", stroke: colour, "stroke-width": 2 });
  }
}
