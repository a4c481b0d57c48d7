// The part of the page with timelines: choosing an episode, the cursor, what is known of a call, and the table of calls.

import { count, el, percent, seconds } from "./dom";
import { OUTCOMES, swatch } from "./patterns";
import { stateAt } from "./replay";
import { Timeline } from "./timeline";
import type { Call, Episode } from "./data";

export function episodes(all: Episode[]): HTMLElement {
  const place = el("div", {});
  const section = el("section", { "aria-labelledby": "timelines" }, el("h2", { id: "timelines" }, "Timelines"));
  if (all.length > 1) {
    const choice = el("select", { id: "episode" }, ...all.map((each, index) => el("option", { value: index }, each.name)));
    choice.addEventListener("change", () => show(all[Number(choice.value)]!));
    section.append(el("div", { class: "controls" }, el("label", { for: "episode" }, "Episode"), choice));
  }
  const show = (episode: Episode): void => place.replaceChildren(...viewOf(episode));
  section.append(place);
  if (all[0]) show(all[0]);
  return section;
}

function sentence(episode: Episode): string {
  const { seconds: run, plain_seconds: plain } = episode;
  const hits = episode.commits.filter((commit) => commit.outcome === "hit").length;
  const unpredicted = episode.commits.filter((commit) => commit.outcome === "unguessed").length;
  const others = unpredicted > 0 ? `; ${unpredicted} more were not predicted` : "";
  const change = plain > 0 ? ` (${percent(Math.abs(1 - run / plain))})` : "";
  const verdict = run <= plain ? `${seconds(plain - run)} saved${change}` : `${seconds(run - plain)} lost${change}`;
  return (
    `Plain, the calls take ${seconds(plain)}, one after another; the speculative run took ${seconds(run)}: ${verdict}. ` +
    `${hits} of ${episode.commits.length - unpredicted} responses were guessed${others}.`
  );
}

function viewOf(episode: Episode): Node[] {
  const details = el("div", { class: "panel", "aria-live": "polite" }, ...about(null));
  const state = el("div", { class: "panel" }, stateAt(episode, episode.seconds));
  const timeline = new Timeline(episode, { selected: (call) => details.replaceChildren(...about(call)) });
  const nodes: Node[] = [el("p", { class: "sentence" }, sentence(episode))];
  if (episode.note) nodes.push(el("p", { class: "quiet" }, episode.note));
  nodes.push(legend(episode), zoomControls(timeline), timeline.box, cursor(episode, timeline, state));
  nodes.push(el("div", { class: "below" }, details, state), table(episode, timeline));
  return nodes;
}

function legend(episode: Episode): HTMLElement {
  const seen = new Set(episode.calls.map((call) => call.outcome));
  const items = OUTCOMES.filter(([outcome]) => seen.has(outcome)).map(([outcome, text]) => el("li", {}, swatch(outcome), text));
  return el("ul", { class: "legend" }, ...items);
}

function button(text: string, label: string, action: () => void): HTMLButtonElement {
  const made = el("button", { type: "button", "aria-label": label }, text);
  made.addEventListener("click", action);
  return made;
}

function zoomControls(timeline: Timeline): HTMLElement {
  return el(
    "div",
    { class: "controls" },
    button("+", "Zoom in", () => timeline.zoom(0.6)),
    button("−", "Zoom out", () => timeline.zoom(1 / 0.6)),
    button("←", "Move left", () => timeline.pan(-0.4)),
    button("→", "Move right", () => timeline.pan(0.4)),
    button("All", "All: show the whole episode", () => timeline.fit()),
    el("span", { class: "quiet" }, "Drag to move; Ctrl and wheel, or two fingers, to zoom; click a call to keep it."),
  );
}

function cursor(episode: Episode, timeline: Timeline, state: HTMLElement): HTMLElement {
  const steps = 1000;
  const range = el("input", { type: "range", min: 0, max: steps, value: steps, "aria-label": "Moment of the episode" });
  const set = (time: number): void => {
    timeline.setCursor(time);
    state.replaceChildren(stateAt(episode, time));
    range.setAttribute("aria-valuetext", seconds(time));
  };
  range.addEventListener("input", () => set((Number(range.value) / steps) * episode.seconds));
  const jump = (by: number): void => {
    const now = (Number(range.value) / steps) * episode.seconds;
    const times = episode.commits.map((commit) => commit.time);
    const near = episode.seconds / steps;
    const next = by > 0 ? times.find((time) => time > now + near) : times.findLast((time) => time < now - near);
    const time = next ?? (by > 0 ? episode.seconds : 0);
    // Rounded up, so that the response of this moment is shown.
    range.value = String(Math.min(steps, Math.ceil((time / (episode.seconds || 1)) * steps)));
    set(Math.max(time, 0));
  };
  return el(
    "div",
    { class: "controls", role: "group", "aria-label": "Replay" },
    button("◀ Previous", "Previous response", () => jump(-1)),
    range,
    button("Next ▶", "Next response", () => jump(1)),
    player(episode, range, set),
  );
}

/** A button that lets the cursor run over the episode in 12 seconds. */
function player(episode: Episode, range: HTMLInputElement, set: (time: number) => void): HTMLElement {
  const steps = Number(range.max);
  let running = 0;
  const made = button("Play", "Play the episode", () => {
    if (running) return halt();
    let at = Number(range.value) >= steps ? 0 : Number(range.value);
    let last = performance.now();
    made.textContent = "Pause";
    made.setAttribute("aria-label", "Pause the episode");
    const frame = (now: number): void => {
      at = Math.min(steps, at + ((now - last) / 12_000) * steps);
      last = now;
      range.value = String(at);
      set((at / steps) * episode.seconds);
      if (at < steps && made.isConnected) running = requestAnimationFrame(frame);
      else halt();
    };
    running = requestAnimationFrame(frame);
  });
  const halt = (): void => {
    cancelAnimationFrame(running);
    running = 0;
    made.textContent = "Play";
    made.setAttribute("aria-label", "Play the episode");
  };
  return made;
}

function about(call: Call | null): Node[] {
  if (!call) return [el("h3", {}, "Call"), el("p", { class: "quiet" }, "Point at a call, click it, or use the arrow keys in the timeline.")];
  const rows: [string, string | undefined][] = [
    ["outcome", OUTCOMES.find(([outcome]) => outcome === call.outcome)?.[1]],
    ["why", call.why],
    ["guesses before", call.path?.join(" → ")],
    ["query", call.query],
    ["response", call.response],
    ["error", call.error],
    ["time", `${seconds(call.start)} to ${seconds(call.end)} (${seconds(call.end - call.start)})`],
    ["tokens", call.tokens_in + call.tokens_out > 0 ? `${count(call.tokens_in)} in, ${count(call.tokens_out)} out` : undefined],
    ["money", call.money > 0 ? `$${call.money.toPrecision(3)}` : undefined],
    ["effect", call.effect],
  ];
  const list = el("dl", {});
  for (const [name, value] of rows) if (value) list.append(el("dt", {}, name), el("dd", {}, value));
  return [el("h3", {}, `Call ${call.id}: ${call.handler}`), list];
}

function table(episode: Episode, timeline: Timeline): HTMLElement {
  const body = el("tbody", {});
  const heads = ["call", "handler", "starts", "takes", "outcome", "made ahead", "probability", "response"];
  const made = el(
    "details",
    {},
    el("summary", {}, `All ${episode.calls.length} calls as a table`),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "All calls" },
      el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), body),
    ),
  );
  made.addEventListener(
    "toggle",
    () => {
      if (body.childElementCount === 0) body.append(...episode.calls.map((call) => row(call, timeline)));
    },
    { once: true },
  );
  return made;
}

function row(call: Call, timeline: Timeline): HTMLElement {
  const cells = [
    call.handler,
    seconds(call.start),
    seconds(call.end - call.start),
    call.outcome,
    call.ahead ? "yes" : "no",
    call.probability === undefined ? "" : percent(call.probability),
    (call.response ?? call.error ?? "").slice(0, 60),
  ];
  const first = el("td", {}, button(String(call.id), `Show call ${call.id} in the timeline`, () => timeline.select(call)));
  return el("tr", {}, first, ...cells.map((cell) => el("td", {}, cell)));
}
