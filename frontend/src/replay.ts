// The episode as it was at the cursor: a chess board, messages, a transcript, or a curve.

import { boardOf, drawBoard, push, START } from "./chess";
import { el, seconds, svg } from "./dom";
import type { Commit, Episode } from "./data";

export function stateAt(episode: Episode, time: number): HTMLElement {
  const done = episode.commits.filter((commit) => commit.time <= time + 1e-9);
  const made = el("div", {});
  made.append(el("h3", {}, `The episode at ${seconds(time)}: ${done.length} of ${episode.commits.length} responses`));
  if (episode.view === "chess") made.append(chess(episode, done));
  else if (episode.view === "curve") made.append(curve(done), messages(episode, done));
  else made.append(messages(episode, done));
  return made;
}

function chess(episode: Episode, done: Commit[]): HTMLElement {
  const board = boardOf(episode.begin && episode.begin.includes("/") ? episode.begin : START);
  let last: string | undefined;
  const moves: string[] = [];
  for (const commit of done) {
    const move = (commit.response ?? "").trim();
    if (push(board, move)) {
      last = move;
      moves.push(move);
    }
  }
  const list = moves.map((move, index) => (index % 2 ? move : `${index / 2 + 1}. ${move}`)).join(" ");
  return el("div", {}, drawBoard(board, last), el("p", { class: "quiet" }, list || "No move yet."));
}

function messages(episode: Episode, done: Commit[]): HTMLElement {
  const box = el("div", { class: "messages", tabindex: 0, role: "region", "aria-label": "Responses so far" });
  if (episode.begin && episode.view !== "chess") box.append(el("div", { class: "message" }, el("b", {}, "begins"), episode.begin));
  for (const commit of done) {
    const how = { hit: "was guessed", miss: "was not among the guesses", unguessed: "nothing was guessed" }[commit.outcome];
    box.append(
      el(
        "div",
        { class: `message${commit.outcome === "hit" ? " ahead" : ""}` },
        el("b", {}, `${commit.handler} at ${seconds(commit.time)}, ${how}`),
        commit.response ?? "",
      ),
    );
  }
  queueMicrotask(() => (box.scrollTop = box.scrollHeight));
  return box;
}

function curve(done: Commit[]): SVGElement {
  const values = done.flatMap((commit) => {
    const found = /^value (-?[\d.]+(?:e[-+]?\d+)?)/i.exec(commit.response ?? "");
    return found ? [{ time: commit.time, value: Number(found[1]) }] : [];
  });
  const root = svg("svg", { viewBox: "0 0 360 140", role: "img", "aria-label": `Measured values so far: ${values.map((each) => each.value).join(", ") || "none"}` });
  if (values.length === 0) return root;
  const last = Math.max(...values.map((each) => each.time), 1e-9);
  const low = Math.min(...values.map((each) => each.value));
  const high = Math.max(...values.map((each) => each.value));
  const spots = values.map((each) => [8 + (each.time / last) * 300, 126 - ((each.value - low) / (high - low || 1)) * 112] as const);
  root.append(svg("polyline", { points: spots.map((spot) => spot.join(",")).join(" "), fill: "none", stroke: "var(--series-0)", "stroke-width": 2 }));
  for (const [x, y] of spots) root.append(svg("circle", { cx: x, cy: y, r: 3, fill: "var(--series-0)" }));
  const label = (y: number, value: number): SVGElement => svg("text", { x: 314, y, "font-size": 11, fill: "var(--quiet)" }, value.toPrecision(4));
  root.append(label(18, high), label(130, low));
  return root;
}
