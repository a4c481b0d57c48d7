"""How recorded games are replayed: the options of ``spec-envs bench chess``, and the limits that follow from them."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import Limits

Guesses = Literal["recorded", "stockfish", "builtin", "union"]
Rules = Literal["tree", "paper"]
Clock = Literal["virtual", "wall"]

#: Wide enough that the other limits are the ones that bind.
_MAX_NODES = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReplaySettings:
    """How the games are replayed.

    Args:
        plies: Half moves of each game, from its start.
        guesses: Who guesses: the record, Stockfish, the built-in engine, or a union of the two engines. (A union is as
            slow as its members together, so one with the record would keep an engine's guesses waiting.)
        k: Guesses for one call.
        max_inflight: Speculative calls at once. Default: 4, or ``k`` with the paper's rules.
        max_depth: How many responses ahead a call may be started. Default: any number.
        rules: ``"tree"``, or ``"paper"`` for Algorithm 1 of "Speculative Actions" (arXiv 2510.04371): depth 1, and a
            call that was itself started ahead is not guessed.
        clock: ``"virtual"`` (one thread, recorded seconds pass in no time), or ``"wall"`` (threads, real waiting).
        speed: On the wall clock: recorded seconds that pass in one second.
        seed: Of everything that draws.
        min_probability: Branches less probable than this are not followed. It matters where places are plentiful, and
            bounds the work there: half of it saves a little more time for about twice as many calls.

    Raises:
        InvalidConfiguration: A value makes no sense; says which.
    """

    plies: int = 30
    guesses: Guesses = "stockfish"
    k: int = 3
    max_inflight: int | None = None
    max_depth: int | None = None
    rules: Rules = "tree"
    clock: Clock = "virtual"
    speed: float = 2000.0
    seed: int = 0
    min_probability: float = 0.003

    def __post_init__(self) -> None:
        for name, least in (("plies", 1), ("k", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InvalidConfiguration(f"{name} must be at least {least}, not {getattr(self, name)!r}")
        for name, choices in (("guesses", Guesses), ("rules", Rules), ("clock", Clock)):
            if getattr(self, name) not in get_args(choices):
                raise InvalidConfiguration(f"{name} must be one of {get_args(choices)}, not {getattr(self, name)!r}")
        if not 0 < self.speed < math.inf:
            raise InvalidConfiguration(f"speed must be above 0 and finite, not {self.speed!r}")
        if self.rules == "paper" and self.max_depth not in (None, 1):
            raise InvalidConfiguration(f"rules 'paper' have depth 1, so max_depth cannot be {self.max_depth!r}")
        _ = self.limits  # checks the others

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        paper = self.rules == "paper"
        default = self.k if paper else 4
        return Limits(
            max_inflight=default if self.max_inflight is None else self.max_inflight,
            max_nodes=_MAX_NODES,
            max_depth=1 if paper else self.max_depth,
            # The paper's rules start every guess, however improbable.
            min_probability=0.0 if paper else self.min_probability,
            windows_ahead=not paper,
        )

    @property
    def time_scale(self) -> float:
        """Recorded seconds in one second of the clock."""
        return self.speed if self.clock == "wall" else 1.0
