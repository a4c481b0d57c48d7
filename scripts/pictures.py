"""Draws the pictures of the pages: ``python scripts/pictures.py``, or ``make docs``.

Each is an SVG that is readable on a light and on a dark page and at the width of a phone. Nothing is told by colour
alone: what was dropped is hatched, and every bar says in words what it is.
"""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Literal

DOCS = Path(__file__).parents[1] / "docs"

WIDTH = 600
LEFT = 104
ROW = 38
BAR = 26
#: Moves of the game in the timeline.
PLIES = 12

#: What becomes of a call: it was waited for, it was made ahead and used, it was made for nothing.
Kind = Literal["waited", "used", "dropped"]

STYLE = """\
svg { font: 13px system-ui, Helvetica, Arial, sans-serif; --ground: #ffffff; --ink: #1f2328; --faint: #59636e;
  --line: #d1d9e0; --waited: #0b57a4; --used: #116329; --dropped: #eaeef2; --stripe: #afb8c1; --on: #ffffff; }
@media (prefers-color-scheme: dark) { svg { --ground: #15181e; --ink: #f0f3f6; --faint: #b3bcc7; --line: #3d444d;
  --waited: #9ecbff; --used: #7ee2a8; --dropped: #262c36; --stripe: #57606a; --on: #0d1117; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .title { font-weight: 600; }
.ground { fill: var(--ground); stroke: var(--line); } .rule { stroke: var(--line); }
.mark { stroke: var(--ink); stroke-dasharray: 3 3; }
.arrow { stroke: var(--faint); fill: none; marker-end: url(#head); }
#head path { fill: var(--faint); }
.waited { fill: var(--waited); } .used { fill: var(--used); } .dropped { fill: url(#hatch); stroke: var(--stripe); }
#hatch rect { fill: var(--dropped); } #hatch path { stroke: var(--stripe); }
.waited + text, .used + text { fill: var(--on); } .gain { stroke: var(--used); stroke-width: 2; }
"""
DEFINITIONS = """\
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0 L8 4 L0 8 z"/></marker><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse">\
<rect width="6" height="6"/><path d="M-1 7 L7 -1" stroke-width="1.2"/></pattern></defs>"""


@dataclasses.dataclass(frozen=True)
class Bar:
    """A call in flight: its row, when it begins and ends, what it says, what becomes of it."""

    row: int
    start: float
    end: float
    text: str
    kind: Kind = "waited"


@dataclasses.dataclass(frozen=True)
class Chart:
    """Calls over time.

    Args:
        about: What the picture shows, for those who do not see it.
        seconds: The end of the time axis.
        rows: The names of the rows.
        bars: The calls.
        marks: Moments, with what happens then; drawn through the rows from the second on.
        arrows: A guess: from a moment in one row to a moment in another.
        saved: From when until when time is saved, in the second row.
        note: A line below the picture.
    """

    about: str
    seconds: float
    rows: Sequence[str]
    bars: Sequence[Bar]
    marks: Mapping[float, str] = dataclasses.field(default_factory=dict)
    arrows: Sequence[tuple[float, int, float, int]] = ()
    saved: tuple[float, float] | None = None
    note: str = ""

    def svg(self) -> str:
        """The picture."""
        top = 34 if self.marks else 14
        bottom = top + ROW * len(self.rows)
        parts = [f'<line class="rule" x1="{LEFT}" y1="{bottom}" x2="{WIDTH - 12}" y2="{bottom}"/>']
        parts.append(text(WIDTH - 12, bottom + 16, "time →", anchor="end", style="faint"))
        parts += [text(8, self._y(top, row) + 17, name, style="title") for row, name in enumerate(self.rows)]
        for moment, label in self.marks.items():
            x = self._x(moment)
            parts.append(f'<line class="mark" x1="{x:.1f}" y1="{top - 12}" x2="{x:.1f}" y2="{bottom}"/>')
            parts.append(text(x - 4, top - 18, label, anchor="start"))
        parts += [self._bar(top, bar) for bar in self.bars]
        for start, source, end, target in self.arrows:
            x, y = self._x(start), self._y(top, source) + BAR
            parts.append(f'<path class="arrow" d="M{x:.1f} {y} V{self._y(top, target) + 13} H{self._x(end) - 2:.1f}"/>')
        if self.saved is not None:
            begin, end = map(self._x, self.saved)
            y = self._y(top, 1) + 13
            ends = f"M{end:.1f} {y - 7} v14 M{begin:.1f} {y - 7} v14"
            parts.append(f'<path class="gain" d="M{begin:.1f} {y} H{end:.1f} {ends}"/>')
            parts.append(text((begin + end) / 2, y - 9, "time saved"))
        if self.note:
            parts.append(text(8, bottom + 16, self.note, anchor="start", style="faint"))
        return drawing(self.about, bottom + 28, parts)

    def _x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - 14) * seconds / self.seconds

    @staticmethod
    def _y(top: int, row: int) -> int:
        return top + ROW * row + (ROW - BAR) // 2

    def _bar(self, top: int, bar: Bar) -> str:
        x, width = self._x(bar.start), self._x(bar.end) - self._x(bar.start) - 1.5
        y = self._y(top, bar.row)
        box = f'<rect class="{bar.kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" rx="4"/>'
        return box + (text(x + width / 2, y + 17, bar.text) if bar.text else "")


def text(x: float, y: float, content: str, *, anchor: str = "middle", style: str = "") -> str:
    """A line of text; titles begin at the left."""
    anchor = "start" if style == "title" else anchor
    classes = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{classes}>{escape(content)}</text>'


def drawing(about: str, height: float, parts: Sequence[str]) -> str:
    """An SVG with a title for screen readers, on a ground of its own."""
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">',
            f"<title>{escape(about)}</title>",
            f"<style>{STYLE}</style>",
            DEFINITIONS,
            f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8"/>',
            *parts,
            "</svg>\n",
        )
    )


PLAIN = (Bar(0, 0, 4, "policy"), Bar(0, 4, 7, "opponent"), Bar(0, 7, 11, "policy"))

COMMIT = Chart(
    about="A commit: the guess is right, so the calls that were made ahead are used",
    seconds=11.4,
    rows=("plain", "speculative", "branch e4"),
    bars=(*PLAIN, Bar(1, 0, 4, "policy"), Bar(2, 0.6, 3.6, "opponent", "used"), Bar(2, 3.6, 7.6, "policy", "used")),
    marks={0.6: "guess: e4", 4: "the policy returns e4: commit"},
    arrows=((0.4, 1, 0.6, 2),),
    saved=(7.6, 11),
)
MISS = Chart(
    about="A miss: the guess is wrong, so the branch is discarded, and the episode goes on as the plain loop does",
    seconds=11.4,
    rows=("plain", "speculative", "branch e4"),
    bars=(
        *PLAIN,
        *(dataclasses.replace(bar, row=1) for bar in PLAIN),
        Bar(2, 0.6, 3.6, "opponent", "dropped"),
        Bar(2, 3.6, 4, "", "dropped"),
    ),
    marks={0.6: "guess: e4", 4: "the policy returns d4: the branch is discarded"},
    arrows=((0.4, 1, 0.6, 2),),
    note="The same episode in the same time. The price: the calls of the branch.",
)
WRITE = Chart(
    about="A WRITE: what a branch reads is read ahead of time, and a WRITE waits until the episode itself comes to it",
    seconds=12.6,
    rows=("plain", "speculative", "branch"),
    bars=(
        *(Bar(0, 0, 4, "policy"), Bar(0, 4, 6, "READ"), Bar(0, 6, 10, "policy"), Bar(0, 10, 12, "WRITE")),
        *(Bar(1, 0, 4, "policy"), Bar(1, 6.6, 8.6, "WRITE")),
        *(Bar(2, 0.6, 2.6, "READ", "used"), Bar(2, 2.6, 6.6, "policy", "used")),
    ),
    marks={0.6: "guess", 4: "commit", 6.6: "commit: now the WRITE begins"},
    arrows=((0.4, 1, 0.6, 2),),
    saved=(8.6, 12),
)


def tree() -> str:
    """A tree of guesses: which calls have begun, which wait, and why."""
    boxes = (
        # x, y, first line, second line, kind
        (12, 96, "the policy thinks", "authoritative", "waited"),
        (222, 30, "e4: the opponent", "0.6, begun", "used"),
        (222, 150, "d4: the opponent", "0.3, begun", "used"),
        (430, 12, "e4 e5: the policy", "0.6 x 0.7, begun", "used"),
        (430, 72, "e4 c5: the policy", "0.6 x 0.3, begun", "used"),
        (430, 150, "d4 d5: the policy", "0.3 x 0.5, no slot", "dropped"),
    )
    lines = ((0, 1), (0, 2), (1, 3), (1, 4), (2, 5))
    parts = []
    for source, target in lines:
        x, y = boxes[source][0] + 158, boxes[source][1] + 23
        to_x, to_y = boxes[target][0] - 2, boxes[target][1] + 23
        parts.append(f'<path class="arrow" d="M{x} {y} C{x + 28} {y} {to_x - 30} {to_y} {to_x} {to_y}"/>')
    for x, y, first, second, kind in boxes:
        on = "" if kind == "dropped" else ' style="fill: var(--on)"'
        parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="158" height="46" rx="6"/>')
        if kind == "dropped":
            parts.append(f'<rect x="{x + 6}" y="{y + 5}" width="146" height="36" rx="4" style="fill: var(--ground)"/>')
        parts += [
            f'<text x="{x + 79}" y="{y + dy}" text-anchor="middle"{on}>{escape(line)}</text>'
            for dy, line in ((19, first), (37, second))
        ]
    note = "Guesses of what the policy returns, and then of what the opponent returns."
    parts.append(text(12, 226, note, anchor="start", style="faint"))
    return drawing("A tree of guesses: the likeliest calls have the slots", 240, parts)


def game() -> str:
    """The timeline of a game of chess between two made-up players, played here in virtual time."""
    from spec_envs.benchmarks.chess import ChessSettings
    from spec_envs.benchmarks.chess.run import ChessBench, made_up_game, speculative_env
    from spec_envs.benchmarks.episodes import play, runtime_of
    from spec_envs.pages import timelines

    record = made_up_game(PLIES)
    settings = ChessSettings(plies=PLIES, guesses="builtin")
    with ChessBench([record], settings) as bench:
        with speculative_env(record, settings, bench.guesser(record), runtime_of("virtual")) as env:
            play(env, env.act)
        (played,) = timelines(event.as_dict() for event in env.trace)
    kinds: dict[str, Kind] = {"committed": "used", "wasted": "dropped", "cancelled": "dropped"}
    plain = [Bar(0, bar.start, bar.end, "") for bar in played.plain]
    calls = [
        Bar(1 + call.lane, call.start, call.end, "", kinds[call.outcome] if call.ahead else "waited")
        for call in played.calls
    ]
    share = 1 - played.seconds / played.plain_seconds
    times = f"{played.seconds:.0f} s instead of {played.plain_seconds:.0f} s"
    return Chart(
        about=f"A game of chess with and without speculation: {share:.0%} of the time is saved",
        seconds=played.plain_seconds * 1.01,
        rows=("plain", "speculative", "made ahead", *("" for _ in range(played.lanes - 2))),
        bars=plain + calls,
        saved=(played.seconds, played.plain_seconds),
        note=f"{PLIES} moves in {times}. Hatched: made for nothing.",
    ).svg()


#: Each picture by its path below docs/, and what draws it.
PICTURES: dict[str, Callable[[], str]] = {
    "assets/commit.svg": COMMIT.svg,
    "assets/miss.svg": MISS.svg,
    "assets/tree.svg": tree,
    "assets/write.svg": WRITE.svg,
    "assets/timeline.svg": game,
    "design.svg": lambda: runpy.run_path(str(Path(__file__).parent / "design_picture.py"))["picture"](),
}

if __name__ == "__main__":
    for path, draw in PICTURES.items():
        (DOCS / path).write_text(draw(), encoding="utf-8")
