"""What speculation did in one run of an experiment: the figures that every experiment's rows have."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spec_envs.wrappers import Statistics

#: The fields that are as in ``Statistics``.
_COUNTED = ("hit_rate", "hits", "windows", "tokens_full", "tokens_partial", "calls", "guesses", "divergences")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Speculated:
    """What became of one run; base of the experiments' rows, which add what they ran.

    Times are seconds of the experiment's clock; tokens are relative to a run without speculation.

    Args:
        saved: Share of ``sequential_seconds`` that was saved.
        hit_rate: Share of the guessed calls (``windows``) whose response was among the guesses (``hits``), on time.
        hits, windows: See ``hit_rate``.
        tokens_full: A cancelled call charged in full; calls of guessers included.
        tokens_partial: A cancelled call charged for the part that ran; calls of guessers included.
        calls: Calls by outcome, as in ``Statistics``.
        guesses: Calls of guessers and prefetchers by outcome.
        divergences: Branches whose prediction of the environment was wrong.
        seconds: How long the run took.
        sequential_seconds: How long it takes without speculation.
        lossless: 1 if what happened is what happens without speculation, else 0.
    """

    saved: float
    hit_rate: float
    hits: int
    windows: int
    tokens_full: float
    tokens_partial: float
    calls: dict[str, int]
    guesses: dict[str, int]
    divergences: int
    seconds: float
    sequential_seconds: float
    lossless: int


def figures_of(statistics: Statistics, *, seconds: float, sequential_seconds: float, lossless: bool) -> dict[str, Any]:
    """The fields of ``Speculated``. Take the statistics after close: only then every cancelled call is charged."""
    return {
        "saved": 1 - seconds / sequential_seconds if sequential_seconds else 0.0,
        **{name: getattr(statistics, name) for name in _COUNTED},
        "seconds": seconds,
        "sequential_seconds": sequential_seconds,
        "lossless": int(lossless),
    }
