// The page of reports and of traces: reads the data that stands in the page, and draws what there is of it.

import "./style.css";
import { el } from "./dom";
import { episodes } from "./episodes";
import { figure } from "./figures";
import { summaryTable } from "./summary";
import type { Page } from "./data";

function draw(page: Page): void {
  document.title = page.title;
  const main = document.getElementById("page")!;
  main.append(el("h1", {}, page.title));
  for (const text of page.intro) main.append(el("p", {}, text));
  if (page.summary.length) main.append(el("h2", {}, "Summary"), summaryTable(page.summary));
  if (page.notes.length) main.append(el("ul", {}, ...page.notes.map((note) => el("li", {}, note))));
  if (page.episodes.length) main.append(episodes(page.episodes));
  if (page.figures.length) {
    const all = el("div", { class: "figures" }, ...page.figures.map(figure));
    main.append(el("section", { "aria-labelledby": "figures" }, el("h2", { id: "figures" }, "Figures"), all));
  }
  if (page.facts.length) {
    const rows = page.facts.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "left" }, value)));
    main.append(el("h2", {}, "How this was made"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "How this was made" }, el("table", {}, el("tbody", {}, ...rows))));
  }
}

draw(JSON.parse(document.getElementById("data")!.textContent ?? "") as Page);
