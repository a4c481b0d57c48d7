// The data that Python puts into the page: see spec_envs/pages/page.py and timeline.py. Times are seconds from the
// beginning of the episode.

export type Outcome = "committed" | "cancelled" | "wasted" | "failed" | "running";

export interface Call {
  id: number;
  handler: string;
  start: number;
  end: number;
  lane: number;
  outcome: Outcome;
  ahead: boolean;
  why: string;
  probability?: number;
  path?: string[]; // the guesses that the call rests on, oldest first
  query?: string;
  response?: string;
  error?: string;
  tokens_in: number;
  tokens_out: number;
  money: number;
  effect?: string;
}

export interface Commit {
  time: number;
  handler: string;
  outcome: "hit" | "miss" | "unguessed";
  call?: number;
  rank?: number;
  response?: string;
}

export interface Bar {
  handler: string;
  start: number;
  end: number;
}

/** How the cursor shows the episode: a board, messages, a transcript or a curve. */
export type View = "chess" | "dialogue" | "transcript" | "curve";

export interface Episode {
  name: string;
  view: View;
  begin?: string;
  note?: string;
  lanes: number;
  seconds: number;
  plain_seconds: number;
  plain: Bar[];
  calls: Call[];
  commits: Commit[];
}

export interface Interval {
  value: number | null;
  low?: number | null;
  high?: number | null;
}

export interface SummaryRow {
  name: string;
  episodes: number;
  sequential_s: Interval;
  speculative_s: Interval;
  saved: Interval;
  hit_rate: Interval;
  tokens_full: Interval;
  lossless: string;
  clock: string;
}

export interface Series {
  name: string;
  points: { x: number | string; y: number; low?: number; high?: number; label?: string }[];
  kind?: "line" | "points" | "bars";
}

export interface Figure {
  title: string;
  about: string;
  command: string;
  x: string;
  y: string;
  percent_y?: boolean;
  categories?: boolean;
  series: Series[];
}

export interface Page {
  title: string;
  intro: string[];
  facts: [string, string][];
  summary: SummaryRow[];
  notes: string[];
  figures: Figure[];
  episodes: Episode[];
}
