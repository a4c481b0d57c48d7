// How outcomes look: a colour and a pattern each, so that neither colour nor pattern alone carries the meaning.

import { style } from "./dom";
import type { Outcome } from "./data";

export const OUTCOMES: [Outcome, string][] = [
  ["committed", "committed: the episode used the response"],
  ["cancelled", "cancelled before it was done"],
  ["wasted", "done, and never used"],
  ["failed", "failed"],
  ["running", "not ended when the trace was written"],
];

export type Fills = Record<Outcome, string | CanvasPattern>;

/** The fills for the theme in force. */
export function fills(context: CanvasRenderingContext2D): Fills {
  const made = {} as Fills;
  for (const [outcome] of OUTCOMES) made[outcome] = fill(context, outcome);
  return made;
}

function fill(context: CanvasRenderingContext2D, outcome: Outcome): string | CanvasPattern {
  const colour = style(`--${outcome}`);
  if (outcome === "committed") return colour;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d")!;
  pen.fillStyle = style("--back");
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 2;
  const line = (...points: [number, number, number, number]): void => {
    pen.beginPath();
    pen.moveTo(points[0], points[1]);
    pen.lineTo(points[2], points[3]);
    pen.stroke();
  };
  if (outcome === "cancelled" || outcome === "failed") {
    line(-2, 10, 10, -2);
    line(-2, 2, 2, -2);
    line(6, 10, 10, 6);
  }
  if (outcome === "failed") {
    line(-2, -2, 10, 10);
    line(6, -2, 10, 2);
    line(-2, 6, 2, 10);
  }
  if (outcome === "wasted") for (const [x, y] of [[2, 2], [6, 6]] as const) pen.fillRect(x - 1.5, y - 1.5, 3, 3);
  return context.createPattern(tile, "repeat") ?? colour;
}

/** A small box that shows an outcome in the legend. */
export function swatch(outcome: Outcome): HTMLCanvasElement {
  const box = document.createElement("canvas");
  box.width = 26;
  box.height = 14;
  box.setAttribute("aria-hidden", "true");
  const pen = box.getContext("2d")!;
  pen.fillStyle = fill(pen, outcome);
  pen.fillRect(0, 0, 26, 14);
  pen.strokeStyle = style(`--${outcome}`);
  pen.lineWidth = 2;
  if (outcome === "running") pen.setLineDash([4, 3]);
  pen.strokeRect(1, 1, 24, 12);
  return box;
}
