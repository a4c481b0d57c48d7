"""Draws docs/design.svg, one action's way from ``act`` to ``commit``: ``python scripts/design_picture.py``."""

from __future__ import annotations

from html import escape
from pathlib import Path

PICTURE = Path(__file__).parents[1] / "docs" / "design.svg"

#: Who takes part: a title, and the file.
LANES = (
    ("your loop", ""),
    ("the wrapper", "speculative.py, session.py"),
    ("the driver", "driver.py, runtimes/threads.py"),
    ("the tree, pure", "tree/__init__.py"),
    ("branches", "tree/branches.py, episode.py"),
    ("handlers and guessers", "run on threads"),
)
WIDTH, LANE, TOP, ROW = 1180, 190, 92, 31
LEFT = 110

#: From lane, to lane, row, text; a note has one lane only.
ARROWS = (
    (0, 1, 0, "1  act(observation)"),
    (1, 2, 1, "obtain()"),
    (2, 3, 2, "2  demand()"),
    (3, 2, 3, "Start(policy), Predict(root)"),
    (2, 5, 4, "3  the policy runs; a guesser predicts its action"),
    (5, 2, 6, "4  guesses: e4, d4"),
    (2, 3, 7, "guessed(root, guesses)"),
    (3, 4, 8, "add_guesses: e4, d4"),
    (4, 3, 10, "forks wait for opponent"),
    (3, 2, 11, "Start(opponent after e4)"),
    (2, 5, 12, "5  the opponent is called ahead of time, on the branch e4"),
    (5, 2, 15, "6  the policy returns e4"),
    (2, 3, 16, "responded(run, e4)"),
    (3, 2, 17, "Discarded(d4)"),
    (2, 1, 18, "e4"),
    (1, 0, 19, "e4"),
    (0, 1, 20, "7  step(e4)"),
    (1, 2, 21, "commit(e4)"),
    (2, 3, 22, "the root moves to e4"),
    (5, 2, 23, "the opponent returns e5"),
    (1, 2, 24, "8  obtain()"),
    (3, 2, 25, "its run is done: e5"),
    (2, 1, 26, "e5, and commit(e5)"),
    (1, 0, 28, "observation, reward, …"),
)
NOTES = (
    (4, 9, "fork, step, CallPending"),
    (1, 23, "the real step asks"),
    (1, 27, "compare with the branch"),
)
#: A call in flight: offset from the last lane, first row, last row, name, colour.
CALLS = (
    (16, 4, 15, "policy", "#9a6700"),
    (50, 4, 6, "guesser", "#8250df"),
    (50, 12, 23, "opponent", "#1a7f37"),
)


def x_of(lane: int) -> int:
    """The middle of a lane."""
    return LEFT + lane * LANE


def y_of(row: int) -> int:
    """The height of a row."""
    return TOP + row * ROW


def text(x: float, y: float, content: str, *, anchor: str = "middle", style: str = "") -> str:
    """A line of text."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{style and f" {style}"}>{escape(content)}</text>'


def lane(number: int, title: str, file: str, bottom: int) -> str:
    """The head of a lane and the line below it."""
    x = x_of(number)
    return "\n".join(
        (
            f'<rect x="{x - 90}" y="14" width="180" height="48" rx="6" fill="#ddf4ff" stroke="#0969da"/>',
            text(x, 34, title, style='font-weight="bold"'),
            text(x, 52, file, style='font-size="11"'),
            f'<line x1="{x}" y1="62" x2="{x}" y2="{bottom}" stroke="#8c959f" stroke-dasharray="4 4"/>',
        )
    )


def arrow(start: int, end: int, row: int, label: str) -> str:
    """An arrow between two lanes with its label."""
    y, direction = y_of(row), 1 if end > start else -1
    begin, stop = x_of(start) + 4 * direction, x_of(end) - 4 * direction
    middle = (x_of(start) + x_of(start + direction)) / 2 if abs(end - start) == 1 else (begin + stop) / 2
    half = 3.4 * len(label)
    return "\n".join(
        (
            f'<line x1="{begin}" y1="{y}" x2="{stop}" y2="{y}" stroke="#1f2328" marker-end="url(#head)"/>',
            f'<rect x="{middle - half}" y="{y - 17}" width="{2 * half}" height="14" fill="#ffffff"/>',
            text(middle, y - 6, label),
        )
    )


def note(number: int, row: int, label: str) -> str:
    """A remark on a lane."""
    x, y = x_of(number), y_of(row)
    box = f'<rect x="{x - 84}" y="{y - 17}" width="168" height="22" rx="4" fill="#fff8c5" stroke="#d4a72c"/>'
    return box + "\n" + text(x, y - 2, label, style='font-size="12"')


def call(offset: int, first: int, last: int, name: str, colour: str) -> str:
    """A bar that lasts as long as a call is in flight."""
    x, y, height = x_of(len(LANES) - 1) + offset, y_of(first), (last - first) * ROW
    middle = y + height / 2
    return "\n".join(
        (
            f'<rect x="{x}" y="{y}" width="18" height="{height}" rx="3" fill="{colour}" fill-opacity="0.8"/>',
            (
                f'<text transform="translate({x + 13},{middle}) rotate(-90)" text-anchor="middle" font-size="11" '
                f'fill="#ffffff">{name}</text>'
            ),
        )
    )


def picture() -> str:
    """The picture as SVG."""
    bottom = y_of(29)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 12}" font-size="13" '
            'font-family="Helvetica, Arial, sans-serif" fill="#1f2328">'
        ),
        "<title>One action's way from act to commit</title>",
        (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        ),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *(lane(number, title, file, bottom) for number, (title, file) in enumerate(LANES)),
        *(call(*each) for each in CALLS),
        *(arrow(*each) for each in ARROWS),
        *(note(*each) for each in NOTES),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
