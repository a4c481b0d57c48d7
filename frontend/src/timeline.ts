// The timeline of one episode, on a canvas: the plain loop above, the speculative run beneath, on the same scale.

import { el, seconds, style } from "./dom";
import { fills, type Fills } from "./patterns";
import type { Call, Episode } from "./data";

const AXIS = 24;
const ROW = 20;
const BAR = 14;
const LEFT = 112;
const GAP = 14;

export interface Watcher {
  selected(call: Call | null): void;
}

export class Timeline {
  readonly box: HTMLElement;
  private readonly canvas = el("canvas", { "aria-hidden": "true" });
  private readonly pen: CanvasRenderingContext2D;
  private readonly whole: number;
  private readonly byStart: Call[];
  private from = 0;
  private span: number;
  private width = 600;
  private cursor: number;
  private chosen: Call | null = null;
  private queued = false;
  private fills: Fills;
  private readonly pointers = new Map<number, PointerEvent>();
  private dragged = false;

  constructor(
    private readonly episode: Episode,
    private readonly watcher: Watcher,
  ) {
    this.whole = Math.max(episode.seconds, episode.plain_seconds, 1e-9) * 1.01;
    this.span = this.whole;
    this.cursor = episode.seconds;
    this.byStart = [...episode.calls].sort((one, other) => one.start - other.start || one.lane - other.lane);
    this.pen = this.canvas.getContext("2d")!;
    this.fills = fills(this.pen);
    this.box = el(
      "div",
      {
        class: "timeline",
        tabindex: 0,
        role: "application",
        "aria-roledescription": "timeline",
        "aria-label":
          `Timeline of ${episode.calls.length} calls. Left and right arrow: previous and next call. Up and down arrow: the lane above ` +
          "and below. Plus and minus: zoom. Page up and page down: move. Home and End: first and last call. 0: show all. " +
          "The same calls are in the table below.",
      },
      this.canvas,
    );
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.box);
    for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", () => this.restyle());
  }

  get height(): number {
    return AXIS + ROW + GAP + this.episode.lanes * ROW + 8;
  }

  setCursor(time: number): void {
    this.cursor = time;
    this.redraw();
  }

  /** Zoom by `factor` (below 1: closer) about the share `about` of what is shown. */
  zoom(factor: number, about = 0.5): void {
    const span = Math.min(this.whole, Math.max(this.whole / 5000, this.span * factor));
    this.show(this.from + (this.span - span) * about, span);
  }

  pan(share: number): void {
    this.show(this.from + share * this.span, this.span);
  }

  fit(): void {
    this.show(0, this.whole);
  }

  select(call: Call | null): void {
    this.chosen = call;
    this.watcher.selected(call);
    if (call) this.reveal(call);
    this.redraw();
  }

  private show(from: number, span: number): void {
    this.span = span;
    this.from = Math.max(0, Math.min(from, this.whole - span));
    this.redraw();
  }

  private reveal(call: Call): void {
    if (call.end < this.from || call.start > this.from + this.span) this.show(call.start - this.span / 3, this.span);
    const top = this.top(call);
    if (top < this.box.scrollTop) this.box.scrollTop = top - AXIS;
    else if (top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + ROW - this.box.clientHeight;
  }

  private resize(): void {
    this.width = Math.max(this.box.clientWidth, 240);
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  private restyle(): void {
    this.fills = fills(this.pen);
    this.draw();
  }

  private redraw(): void {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.draw();
    });
  }

  private get left(): number {
    return this.width < 520 ? 78 : LEFT;
  }

  private x(time: number): number {
    return this.left + ((time - this.from) / this.span) * (this.width - this.left - 8);
  }

  private top(call: Call): number {
    return AXIS + ROW + GAP + call.lane * ROW;
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  private draw(): void {
    const pen = this.pen;
    pen.clearRect(0, 0, this.width, this.height);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    this.drawAxis();
    pen.save();
    pen.beginPath();
    pen.rect(this.left, 0, this.width - this.left, this.height);
    pen.clip();
    this.drawGain();
    this.drawPlain();
    this.drawPath();
    for (const call of this.byStart) this.drawCall(call);
    this.drawCursor();
    pen.restore();
    this.drawLabels();
  }

  private drawAxis(): void {
    const pen = this.pen;
    const rough = this.span / Math.max(2, (this.width - this.left) / 90);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
    pen.textAlign = "center";
    for (let tick = Math.ceil(this.from / step) * step; tick <= this.from + this.span; tick += step) {
      const x = this.x(tick);
      pen.fillStyle = style("--line");
      pen.fillRect(x, AXIS - 4, 1, this.height);
      pen.fillStyle = style("--quiet");
      if (x < this.width - 20) pen.fillText(tickText(tick, step), x, 10);
    }
  }

  /** The time that was saved, as the gap between the end of the run and that of the plain loop. */
  private drawGain(): void {
    const { seconds: end, plain_seconds: plain } = this.episode;
    const [from, to] = [this.x(Math.min(end, plain)), this.x(Math.max(end, plain))];
    const pen = this.pen;
    pen.globalAlpha = 0.14;
    pen.fillStyle = style(end <= plain ? "--committed" : "--failed");
    pen.fillRect(from, AXIS, to - from, this.height - AXIS);
    pen.globalAlpha = 1;
    const text = `${seconds(Math.abs(plain - end))} ${end <= plain ? "saved" : "lost"}`;
    if (to - from > pen.measureText(text).width + 8) {
      pen.fillStyle = style("--text");
      pen.textAlign = "center";
      pen.fillText(text, (from + to) / 2, AXIS + ROW + GAP / 2);
    }
  }

  private drawPlain(): void {
    const pen = this.pen;
    for (const bar of this.episode.plain) {
      const [from, to] = [this.x(bar.start), this.x(bar.end)];
      if (to < this.left || from > this.width) continue;
      pen.fillStyle = style("--plain");
      pen.fillRect(from, AXIS + 3, Math.max(1, to - from - 1), BAR);
      this.barText(bar.handler, from, to, AXIS + 3, style("--back"));
    }
  }

  /** The committed calls, one after another: from each call's end to the moment when the episode used it. */
  private drawPath(): void {
    const pen = this.pen;
    const calls = new Map(this.episode.calls.map((call) => [call.id, call]));
    pen.strokeStyle = style("--committed");
    pen.lineWidth = 1.5;
    pen.beginPath();
    let begun = false;
    let before = 0;
    for (const commit of this.episode.commits) {
      const call = commit.call === undefined ? undefined : calls.get(commit.call);
      if (!call) continue;
      const y = this.top(call) + 3 + BAR / 2;
      if (begun) pen.lineTo(this.x(Math.max(call.start, before)), y);
      else pen.moveTo(this.x(call.start), y);
      pen.lineTo(this.x(commit.time), y);
      before = commit.time;
      begun = true;
    }
    pen.stroke();
  }

  private drawCall(call: Call): void {
    const [from, to] = [this.x(call.start), this.x(call.end)];
    if (to < this.left || from > this.width) return;
    const pen = this.pen;
    const top = this.top(call) + 3;
    const width = Math.max(2, to - from - 1);
    pen.fillStyle = this.fills[call.outcome];
    pen.fillRect(from, top, width, BAR);
    if (width > 3) {
      pen.strokeStyle = style(`--${call.outcome}`);
      pen.lineWidth = 1;
      pen.setLineDash(call.outcome === "running" ? [4, 3] : []);
      pen.strokeRect(from + 0.5, top + 0.5, width - 1, BAR - 1);
      pen.setLineDash([]);
    }
    if (call.outcome === "committed") this.barText(call.response ?? call.handler, from, to, top, style("--back"));
    if (call === this.chosen) {
      pen.strokeStyle = style("--text");
      pen.lineWidth = 2.5;
      pen.strokeRect(from - 2, top - 2, width + 4, BAR + 4);
    }
  }

  private barText(content: string, from: number, to: number, top: number, colour: string): void {
    const left = Math.max(from, this.left);
    const room = to - left - 6;
    if (room < 22) return;
    const pen = this.pen;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, room + 4, BAR);
    pen.clip();
    pen.fillStyle = colour;
    pen.textAlign = "left";
    pen.fillText(content.slice(0, 80), left + 3, top + BAR / 2 + 0.5);
    pen.restore();
  }

  private drawCursor(): void {
    this.pen.fillStyle = style("--cursor");
    this.pen.fillRect(this.x(this.cursor) - 1, AXIS - 6, 2, this.height);
  }

  private drawLabels(): void {
    const pen = this.pen;
    pen.fillStyle = style("--text");
    pen.textAlign = "left";
    const narrow = this.left < LEFT;
    pen.fillText("plain", 4, AXIS + ROW / 2);
    pen.fillText("speculative", 4, AXIS + ROW + GAP + ROW / 2);
    pen.fillStyle = style("--quiet");
    for (let lane = 1; lane < this.episode.lanes; lane++)
      pen.fillText(this.laneName(lane, narrow), 4, AXIS + ROW + GAP + lane * ROW + ROW / 2);
  }

  /** Rows below the first hold calls made ahead, and calls that an agent waits for beside another call. */
  private laneName(lane: number, narrow: boolean): string {
    const isAhead = this.episode.calls.some((call) => call.lane === lane && call.ahead);
    if (isAhead) return narrow ? `ahead ${lane}` : `made ahead ${lane}`;
    return narrow ? `beside ${lane}` : `side by side ${lane}`;
  }

  // -- what a user does --------------------------------------------------------------------------------------------

  private listen(): void {
    const box = this.box;
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    box.addEventListener("pointerdown", (event) => this.down(event));
    box.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"] as const) box.addEventListener(kind, (event) => this.up(event));
    box.addEventListener("pointerleave", () => this.chosen && this.watcher.selected(this.chosen));
    box.addEventListener("focus", () => this.chosen === null && this.select(this.byStart[0] ?? null));
  }

  private wheel(event: WheelEvent): void {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(1.0025 ** event.deltaY, this.share(event.offsetX));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.pan((event.deltaX || event.deltaY) / this.width);
    }
  }

  private share(x: number): number {
    return Math.max(0, Math.min(1, (x - this.left) / (this.width - this.left - 8)));
  }

  private at(event: PointerEvent): Call | null {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const hit = (call: Call): boolean =>
      y >= this.top(call) && y < this.top(call) + ROW && x >= this.x(call.start) - 2 && x <= Math.max(this.x(call.end), this.x(call.start) + 3) + 1;
    return this.byStart.findLast(hit) ?? null;
  }

  private down(event: PointerEvent): void {
    this.pointers.set(event.pointerId, event);
    this.dragged = false;
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") this.hover(event);
      return;
    }
    if (this.pointers.size === 2) this.pinch(event, before);
    else {
      const by = event.clientX - before.clientX;
      if (!this.dragged && Math.abs(by) < 4) return;
      this.dragged = true;
      this.box.setPointerCapture(event.pointerId);
      this.pan(-by / (this.width - this.left));
    }
    this.pointers.set(event.pointerId, event);
  }

  private hover(event: PointerEvent): void {
    const call = this.at(event);
    if (call) this.watcher.selected(call);
    else if (this.chosen) this.watcher.selected(this.chosen);
  }

  private pinch(event: PointerEvent, before: PointerEvent): void {
    const other = [...this.pointers.values()].find((each) => each.pointerId !== event.pointerId)!;
    const old = Math.abs(before.clientX - other.clientX);
    const now = Math.abs(event.clientX - other.clientX);
    this.dragged = true;
    if (old > 10 && now > 10) this.zoom(old / now, this.share((event.clientX + other.clientX) / 2 - this.box.getBoundingClientRect().left));
  }

  private up(event: PointerEvent): void {
    const known = this.pointers.delete(event.pointerId);
    if (known && !this.dragged && event.type === "pointerup") {
      const call = this.at(event);
      if (call) this.select(call);
    }
  }

  private key(event: KeyboardEvent): void {
    const actions: Record<string, () => void> = {
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      ArrowDown: () => this.lane(1),
      ArrowUp: () => this.lane(-1),
      Home: () => this.select(this.byStart[0] ?? null),
      End: () => this.select(this.byStart.at(-1) ?? null),
      "+": () => this.zoom(0.6, this.about()),
      "=": () => this.zoom(0.6, this.about()),
      "-": () => this.zoom(1 / 0.6, this.about()),
      PageDown: () => this.pan(0.5),
      PageUp: () => this.pan(-0.5),
      "0": () => this.fit(),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }

  /** The share of the view at which the chosen call begins, so that zooming keeps the call in sight. */
  private about(): number {
    return this.chosen ? Math.max(0, Math.min(1, (this.chosen.start - this.from) / this.span)) : 0.5;
  }

  private step(by: number): void {
    const at = this.chosen ? this.byStart.indexOf(this.chosen) : -1;
    const next = this.byStart[Math.max(0, Math.min(this.byStart.length - 1, at + by))];
    if (next) this.select(next);
  }

  private lane(by: number): void {
    const now = this.chosen ?? this.byStart[0];
    if (!now) return;
    for (let lane = now.lane + by; lane >= 0 && lane < this.episode.lanes; lane += by) {
      const there = this.episode.calls.filter((call) => call.lane === lane);
      const distance = (call: Call): number => Math.max(call.start - now.end, now.start - call.end, 0) + Math.abs(call.start - now.start) * 1e-6;
      const nearest = there.sort((one, other) => distance(one) - distance(other))[0];
      if (nearest) {
        this.select(nearest);
        return;
      }
    }
  }
}

function tickText(tick: number, step: number): string {
  if (step >= 0.1) return `${Number(tick.toPrecision(6))} s`;
  return step >= 0.001 ? `${Number((tick * 1000).toPrecision(7))} ms` : `${Number((tick * 1e6).toPrecision(8))} µs`;
}
