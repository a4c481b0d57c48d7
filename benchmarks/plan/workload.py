"""What is known of the calls of an agent and of their guesser, before anything is simulated.

Data, and the draws that a simulation makes from them.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence

from spec_envs.calls import Effect
from spec_envs.handling import NOTHING, Usage


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """What a guesser said of one call.

    Attributes:
        claims: The probabilities that it claimed for its guesses, the greatest first.
        rank: The place in ``claims`` of the guess that was right; ``None`` if none was.
    """

    claims: tuple[float, ...]
    rank: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of an episode, as it was recorded or drawn.

    Attributes:
        handler: Whose call it is.
        seconds: How long it takes.
        usage: What it costs.
        effect: Whether it may be made ahead of time.
        window: What the guesser said of it; ``None`` if nobody asked, so that it has to be drawn.
    """

    handler: str
    seconds: float
    usage: Usage = NOTHING
    effect: Effect = Effect.SAMPLE
    window: Window | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Guessing:
    """The guesser of one handler.

    Attributes:
        rates: How often its likeliest guess is right, its second, and so on.
        seconds: How long it takes.
        usage: What it costs.
        windows: What it said of calls, to be drawn from; if empty, it claims its rates for every call.
    """

    rates: tuple[float, ...]
    seconds: float = 0.0
    usage: Usage = NOTHING
    windows: Sequence[Window] = ()

    def draw(self, rng: random.Random) -> Window:
        """What it says of a call."""
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
        num_known: Of how many episodes' worth of calls all this was learned; infinite for given distributions.
        spread: Behind a wrong guess, a call is like the one that was recorded at its place, and takes as long times
            ``exp(N(0, spread²))``; ``None`` if places mean nothing: it is like any call of its handler.
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
        """How many guesses the guessers have for a call at most."""
        return max((len(guessing.rates) for guessing in self.guessing.values()), default=0)

    @property
    def costs_money(self) -> bool:
        """Whether any call costs money."""
        return any(call.usage.money for call in self.calls)
