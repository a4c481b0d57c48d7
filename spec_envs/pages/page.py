"""One file with everything in it: the built page (``frontend/``), with its data put in."""

from __future__ import annotations

import html
import importlib.resources
import json
from collections.abc import Sequence
from typing import Any

from spec_envs.pages.timeline import Timeline

#: More calls would make a file that no longer opens at once.
_MAX_CALLS = 8_000
_PLACE = '"__DATA__"'


def page(
    title: str,
    episodes: Sequence[Timeline],
    *,
    intro: Sequence[str] = (),
    summary: Sequence[dict[str, Any]] = (),
    notes: Sequence[str] = (),
    figures: Sequence[dict[str, Any]] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> str:
    """The page as HTML.

    Args:
        title: The heading.
        episodes: The timelines; those that would make the file too large are left out, and the page says so.
        intro: Paragraphs before all else.
        summary: Rows of the summary, as ``frontend/src/data.ts`` describes them (``SummaryRow``).
        notes: Sentences below the summary.
        figures: Figures (``Figure``).
        facts: Names and values of how the page was made.
    """
    kept: list[dict[str, Any]] = []
    calls = 0
    for episode in episodes:
        calls += len(episode.calls)
        if kept and calls > _MAX_CALLS:
            break
        kept.append(episode.as_dict())
    if len(kept) < len(episodes):
        notes = [*notes, f"Timelines are shown of the first {len(kept)} of {len(episodes)} episodes."]
    data = {
        "title": title,
        "intro": list(intro),
        "facts": [list(fact) for fact in facts],
        "summary": list(summary),
        "notes": list(notes),
        "figures": list(figures),
        "episodes": kept,
    }
    # "</script>" inside the data would end the element; \u003c is the same character to JSON.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    built = importlib.resources.files(__name__.rpartition(".")[0]).joinpath("built/index.html").read_text("utf-8")
    head, place, tail = built.partition(_PLACE)
    assert place, "the built page has no place for its data"
    return f"{head.replace('<title>spec-envs</title>', f'<title>{html.escape(title)}</title>')}{text}{tail}"
