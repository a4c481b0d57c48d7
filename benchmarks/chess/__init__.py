"""``spec-envs bench chess``: how much thinking time does speculation save in recorded games of chess?"""

import dataclasses
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import ScaledSettings, setting
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import Limits

Guesses = Literal["recorded", "stockfish", "builtin", "union", "move-model"]
Fit = Literal["shipped", "leave-one-out"]
Rules = Literal["tree", "paper"]

#: Wide enough that the other limits are the ones that bind.
_MAX_NODES = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChessSettings(ScaledSettings):
    """Replay recorded games with speculation, and compare with the time that they took."""

    plies: int = setting(30, "How many half moves of each game are replayed, from its start.", ge=1)
    # A union with the record would keep an engine's guesses waiting, since a union is as slow as its slowest member.
    guesses: Guesses = setting(
        "stockfish",
        "Who guesses: the recorded guesser (recorded), Stockfish, the built-in engine, both engines (union), or a "
        "model of the moves that language models play (move-model). On the virtual clock a guess takes 1 ms "
        "(stockfish), 5 ms (builtin) or 20 ms (move-model).",
    )
    fit: Fit = setting(
        "shipped",
        "With --guesses move-model: the weights that come with the package, or for each game weights that are fitted "
        "to the other games.",
    )
    max_inflight: int | None = options.max_inflight(None, "4; with --rules paper: k")
    max_depth: int | None = setting(
        None, "How many responses ahead a call may be started.", ge=0, default_text="any number"
    )
    rules: Rules = setting(
        "tree",
        "tree: the responses to calls that were started ahead of time are guessed, too. paper: they are not, so the "
        "depth is 1 (arXiv 2510.04371, Algorithm 1).",
    )
    speed: float = options.speed(2000.0)
    min_probability: float = setting(
        0.003,
        "With --rules tree: branches less probable than this are not followed. A smaller value saves a little more "
        "time where --max-inflight is large, for many more calls.",
        ge=0,
        le=1,
    )

    def check(self) -> None:
        """Check that the depth is that of the rules, and that what is fitted is a model."""
        if self.fit != "shipped" and self.guesses != "move-model":
            raise InvalidConfiguration(
                f"--fit {self.fit} fits the model of --guesses move-model, and the guesses are {self.guesses}: give "
                f"--guesses move-model, or leave out --fit"
            )
        if self.rules == "paper" and self.max_depth not in (None, 1):
            raise InvalidConfiguration(
                f"--rules paper looks one response ahead, so --max-depth cannot be {self.max_depth}: leave it out, or "
                f"give --rules tree"
            )
        if self.rules == "paper" and (self.money_per_s, self.token_ratio) != (None, None):
            raise InvalidConfiguration(
                "--rules paper starts every guess: leave out --money-per-s and --token-ratio, or give --rules tree"
            )

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        paper = self.rules == "paper"
        default = self.k if paper else 4
        return dataclasses.replace(
            super().limits,
            max_inflight=default if self.max_inflight is None else self.max_inflight,
            max_nodes=_MAX_NODES,
            max_depth=1 if paper else self.max_depth,
            # The paper's rules start every guess, however improbable, and take guessers at their word.
            min_probability=0.0 if paper else self.min_probability,
            selectivity=0.0 if paper else self.selectivity,
            calibrate=not paper,
            windows_ahead=not paper,
        )
