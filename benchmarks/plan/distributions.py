"""Workloads without a trace: seconds from a file or from a lognormal distribution, and the rest from the settings."""

import dataclasses
import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path

from spec_envs.benchmarks.plan import PlanSettings
from spec_envs.benchmarks.plan.workload import Guessing, PlannedCall, Workload
from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import Usage

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
    mean_s = statistics.fmean(second for each in times for second in each)
    episodes = [[_call(second, mean_s, rng, settings) for second in each] for each in times]
    return Workload(episodes, {}, num_known)


def completed(workload: Workload, settings: PlanSettings) -> Workload:
    """``workload`` with the guesses and prices that the settings name.

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
    episodes = [[_priced(call, settings) for call in episode] for episode in workload.episodes]
    priced = {
        name: dataclasses.replace(each, usage=_money(each.usage, settings.price)) for name, each in guessing.items()
    }
    return dataclasses.replace(workload, episodes=episodes, guessing=priced)


def _priced(call: PlannedCall, settings: PlanSettings) -> PlannedCall:
    window = call.window if settings.rates is None else None
    return dataclasses.replace(call, usage=_money(call.usage, settings.price), window=window)


def _money(usage: Usage, price: float) -> Usage:
    return usage if usage.money else dataclasses.replace(usage, money=usage.tokens * price / 1e6)


def _call(seconds: float, mean_s: float, rng: random.Random, settings: PlanSettings) -> PlannedCall:
    tokens = settings.tokens * seconds / mean_s if mean_s else settings.tokens
    effect = Effect.WRITE if rng.random() < settings.writes else Effect.SAMPLE
    return PlannedCall(HANDLER, seconds, Usage(tokens_out=tokens), effect)


def _seconds_in(file: Path) -> list[float]:
    words = file.read_text(encoding="utf-8").replace(",", " ").split()
    try:
        seconds = [float(word) for word in words]
    except ValueError as error:
        raise InvalidConfiguration(f"{file} must hold seconds alone: {error}") from error
    if not seconds or not all(0 <= second < math.inf for second in seconds):
        raise InvalidConfiguration(f"{file} must hold seconds of at least 0, and at least one of them")
    return seconds
