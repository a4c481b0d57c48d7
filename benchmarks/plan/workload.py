"""Workloads: the calls of an agent and their guessers, as data, and the draws that a simulation makes from them."""

import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from spec_envs.benchmarks.plan import PlanSettings
from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.usage import NOTHING, Usage


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
    def has_tokens(self) -> bool:
        """Whether any call tells how many tokens it uses."""
        return any(call.usage.tokens for call in self.calls)

    @property
    def costs_money(self) -> bool:
        """Whether any call costs money."""
        return any(call.usage.money for call in self.calls)


#: The handler of all calls: one of the environment's, and not the policy, so that each call may have its own effect.
HANDLER = "call"


def drawn(settings: PlanSettings) -> Workload:
    """Episodes of one kind of call.

    Raises:
        InvalidConfiguration: The settings do not say how long calls take, or the file holds anything but seconds.
    """
    rng = random.Random(settings.seed)
    if settings.seconds is not None:
        known = _seconds_in(settings.seconds)
        draw: Callable[[], float] = lambda: rng.choice(known)  # noqa: E731
        num_known = len(known) / settings.calls
    elif settings.median_s is not None:
        median_s, num_known = settings.median_s, math.inf
        draw = lambda: median_s * math.exp(rng.gauss(0.0, settings.sigma))  # noqa: E731
    else:
        raise InvalidConfiguration("say how long calls take: by TRACES, --seconds FILE, or --median-s and --sigma")
    times = [[draw() for _ in range(settings.calls)] for _ in range(settings.episodes)]
    episodes = [[_call(second, rng, settings) for second in each] for each in times]
    return Workload(episodes, {}, num_known)


def completed(workload: Workload, settings: PlanSettings) -> Workload:
    """``workload`` with the guesses, tokens and prices that the settings name, where it has none of its own.

    Raises:
        InvalidConfiguration: Neither workload nor settings say how often guesses are right.
    """
    guessing = dict(workload.guessing)
    for name in {call.handler for call in workload.calls} if settings.rates is not None else guessing:
        known = guessing.get(name, Guessing(()))
        guessing[name] = Guessing(
            known.rates if settings.rates is None else settings.rates,
            known.seconds if settings.guess_s is None else settings.guess_s,
            known.usage if settings.guess_tokens is None else Usage(tokens_out=settings.guess_tokens),
            known.windows if settings.rates is None else (),
        )
    if not any(each.rates for each in guessing.values()):
        raise InvalidConfiguration(
            "nothing says how often guesses are right: give --guess-rates, or a trace of a run that had guessers"
        )
    if not workload.has_tokens:
        workload = dataclasses.replace(workload, episodes=_with_tokens(workload, settings.tokens))
    episodes = [[_priced(call, settings) for call in episode] for episode in workload.episodes]
    priced = {
        name: dataclasses.replace(each, usage=_money(each.usage, settings.price)) for name, each in guessing.items()
    }
    return dataclasses.replace(workload, episodes=episodes, guessing=priced)


def _with_tokens(workload: Workload, tokens: float) -> list[list[PlannedCall]]:
    """The episodes with ``tokens`` for a call in the mean, in proportion to its seconds."""
    mean_s = statistics.fmean(call.seconds for call in workload.calls)
    return [
        [
            dataclasses.replace(call, usage=dataclasses.replace(call.usage, tokens_out=tokens * share))
            for call in episode
            for share in [call.seconds / mean_s if mean_s else 1.0]
        ]
        for episode in workload.episodes
    ]


def _priced(call: PlannedCall, settings: PlanSettings) -> PlannedCall:
    window = call.window if settings.rates is None else None
    return dataclasses.replace(call, usage=_money(call.usage, settings.price), window=window)


def _money(usage: Usage, price: float) -> Usage:
    return usage if usage.money else dataclasses.replace(usage, money=usage.tokens * price / 1e6)


def _call(seconds: float, rng: random.Random, settings: PlanSettings) -> PlannedCall:
    effect = Effect.WRITE if rng.random() < settings.writes else Effect.SAMPLE
    return PlannedCall(HANDLER, seconds, effect=effect)


def _seconds_in(file: Path) -> list[float]:
    words = file.read_text(encoding="utf-8").replace(",", " ").split()
    try:
        seconds = [float(word) for word in words]
    except ValueError as error:
        raise InvalidConfiguration(f"{file} must hold seconds alone: {error}") from error
    if not seconds or not all(0 <= second < math.inf for second in seconds):
        raise InvalidConfiguration(f"{file} must hold seconds of at least 0, and at least one of them")
    return seconds
