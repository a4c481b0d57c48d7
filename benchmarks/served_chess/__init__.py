"""``spec-envs bench served-chess``: what does speculation save of a game whose players call a model over HTTP?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import BenchSettings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedChessSettings(BenchSettings):
    """Play chess against a model server over HTTP, with and without speculation side by side (about a minute)."""

    plies: int = setting(30, "How many half moves are played, after an opening that the seed draws.", ge=1)
    seconds: float = setting(2.0, "Median time of an answer, in seconds.", ge=0.01)
    tokens_per_s: float = setting(100.0, "How many tokens the model writes in a second; most are reasoning.", ge=1)
    spread: float = setting(0.3, "Sigma of the lognormal distributions of times and rates.", ge=0)
    guesses: Literal["stockfish", "builtin"] = setting("stockfish", "Who guesses: Stockfish, or the built-in engine.")
    max_inflight: int | None = options.max_inflight(2)
    seed: int = options.seed("Seed of the opening and of the answers' times.")
