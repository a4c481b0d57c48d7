"""Reads the texts in which ``SpecSearch-v0`` tells the result of an action."""

from __future__ import annotations

import ast
import re

_SIMILAR = re.compile(r"Could not find .*?\. Similar: (\[.*\])\.?\s*$", re.DOTALL)


def similar_titles(observation: str) -> tuple[str, ...] | None:
    """Return the similar titles that a search without a page offers; ``None`` if ``observation`` is anything else."""
    match = _SIMILAR.match(observation)
    if match is None:
        return None
    try:
        return tuple(map(str, ast.literal_eval(match[1])))
    except (SyntaxError, ValueError):
        return ()
