// The table that is read first: a row an environment.

import { el, percent, seconds } from "./dom";
import type { Interval, SummaryRow } from "./data";

// The same words, in the same order, as in the tables that commands print.
const HEADS: [string, string][] = [
  ["environment", "left"],
  ["episodes", ""],
  ["plain", ""],
  ["speculative", ""],
  ["saved", ""],
  ["hit rate", ""],
  ["tokens", ""],
  ["lossless", "left"],
  ["clock", "left"],
];

export function summaryTable(rows: SummaryRow[]): HTMLElement {
  const table = el("table", {});
  table.append(
    el("caption", { class: "quiet left" }, "Means over episodes, with 95 % intervals where there are several episodes."),
    el("thead", {}, el("tr", {}, ...HEADS.map(([head, side]) => el("th", { scope: "col", class: side }, head)))),
    el("tbody", {}, ...rows.map(line)),
  );
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Summary of all environments" }, table);
}

function line(row: SummaryRow): HTMLElement {
  const times = (value: number): string => `x${value.toFixed(2)}`;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, row.name),
    el("td", {}, String(row.episodes)),
    cell(row.sequential_s, seconds),
    cell(row.speculative_s, seconds),
    cell(row.saved, percent),
    cell(row.hit_rate, percent),
    cell(row.tokens_full, times),
    el("td", { class: "left" }, row.lossless),
    el("td", { class: "left" }, row.clock),
  );
}

function cell(interval: Interval, show: (value: number) => string): HTMLElement {
  if (interval.value === null) return el("td", {}, "–");
  const made = el("td", {}, show(interval.value));
  if (interval.low !== undefined && interval.low !== null && interval.high !== undefined && interval.high !== null)
    made.append(el("span", { class: "interval" }, `${show(interval.low)} to ${show(interval.high)}`));
  return made;
}
