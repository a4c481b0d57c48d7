"""Workloads: the calls of an agent and their guessers, as data, and the draws that a simulation makes from them."""

import dataclasses
import random
from collections.abc import Mapping, Sequence

from spec_envs.calls import Effect
from spec_envs.handling import NOTHING, Usage


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """The guesses of one call, and which of them was right."""

    claims: tuple[float, ...]  # the probabilities that the guesser claimed for its guesses, the greatest first
    rank: int | None  # the place in ``claims`` of the guess that was right; ``None`` if none was


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of an episode, as it was recorded or drawn."""

    handler: str  # the name of the handler
    seconds: float  # how long the call takes
    usage: Usage = NOTHING  # what the call costs
    effect: Effect = Effect.SAMPLE  # whether the call may be made ahead of time
    window: Window | None = None  # the guesses of this call; ``None``: no guesser was called, so they are drawn


@dataclasses.dataclass(frozen=True, slots=True)
class Guessing:
    """The guesser of one handler."""

    rates: tuple[float, ...]  # how often the likeliest guess is right, the second, and so on
    seconds: float = 0.0  # how long guessing once takes
    usage: Usage = NOTHING  # what guessing once costs
    windows: Sequence[Window] = ()  # guesses of recorded calls, to draw from; if empty, the rates are claimed

    def draw(self, rng: random.Random) -> Window:
        """Draw the guesses of a call."""
        if self.windows:
            return rng.choice(self.windows)
        (rank,) = rng.choices((*range(len(self.rates)), None), (*self.rates, max(0.0, 1 - sum(self.rates))))
        return Window(self.rates, rank)


@dataclasses.dataclass(frozen=True)
class Workload:
    """Episodes of an agent, and the guessers that it could have.

    Args:
        episodes: The calls of each episode, in order. At least one episode, with at least two calls.
        guessing: The guessers, by the name of their handler.
        num_known: The number of episodes from which the workload was learned; infinite for given distributions.
        spread: Behind a wrong guess, a call takes as long as the call that was recorded at its place, times
            ``exp(N(0, spread²))``; ``None`` if places mean nothing: then it takes as long as any call of its handler.
        note: What was assumed to fill gaps; empty if there were none.
    """

    episodes: Sequence[Sequence[PlannedCall]]
    guessing: Mapping[str, Guessing]
    num_known: float
    spread: float | None = None
    note: str = ""

    @property
    def calls(self) -> list[PlannedCall]:
        """The calls of all episodes."""
        return [call for episode in self.episodes for call in episode]

    @property
    def most_guesses(self) -> int:
        """The greatest number of guesses that a guesser has for a call."""
        return max((len(guessing.rates) for guessing in self.guessing.values()), default=0)

    @property
    def costs_money(self) -> bool:
        """Whether any call costs money."""
        return any(call.usage.money for call in self.calls)
