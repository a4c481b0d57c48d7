"""What becomes of one environment: does it fork faithfully, or is it refused, and is it then as it was?"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import gc
import itertools
import math
import random
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from spec_envs import fork
from spec_envs.errors import ForkCheckFailed, NotForkable
from spec_envs.global_generators import GlobalGenerators
from spec_envs.testing import check_fork
from spec_envs.values import key_of
from spec_envs.wrappers import SpeculativeWrapper, Verdict
from tests.conformance.adapters import OwnObservations
from tests.conformance.agents import GUESSERS, POLICIES, Choices
from tests.conformance.catalog import Maker, Subject
from tests.conformance.time_limit import TooLong, at_most
from tests.wrappers.loops import VIRTUAL, certify_on, shows_no_difference

#: For how long a policy thinks, in seconds: virtual ones, and on threads.
_THINKING_S, _ON_THREADS_S = 1.0, 0.002
_COMBINATIONS = tuple(itertools.product(GUESSERS, POLICIES, VIRTUAL))
#: How long a plain episode may take, and the whole examination of an environment, in seconds.
_PLAIN_S, _ALL_S = 20.0, 1800.0
#: The largest number of plain episodes that show whether an environment works by itself.
_ALONE_EPISODES = 50
#: How often harm must be seen, each time it is looked for.
_HARM_TRIES = 5
#: A prime that shares no factor with their number, so that few episodes see many kinds.
_STRIDE = 17


@dataclasses.dataclass
class Outcome:
    """What was seen of one environment.

    Attributes:
        subject: The environment.
        verdict: "forks"; "refused"; "ends" (speculation ends in the middle of an episode, with a warning); "random"
            (two plain runs differ already); "left out" (it cannot be made, or fails without this library).
        reason: Why, if it does not fork.
        fork_ms: What a fork costs.
        deepcopy_ms: What ``copy.deepcopy`` costs; ``None`` where it fails.
        episodes: How many were compared in virtual time.
        on_threads: How many more on threads.
        problems: Differences, crashes and harm: there should be none.
    """

    subject: Subject
    verdict: str = "forks"
    reason: str = ""
    fork_ms: float | None = None
    deepcopy_ms: float | None = None
    episodes: int = 0
    on_threads: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)


def examine(subject: Subject, episodes: int, offset: int) -> Outcome:
    """Examine one environment.

    Args:
        subject: The environment.
        episodes: How many episodes to compare, if it forks.
        offset: With which of the combinations of guesser, policy and runtime to begin.
    """
    outcome = Outcome(subject)
    random.seed(offset)  # some games draw from it before they seed it
    np.random.seed(offset)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            _play_alone(subject, episodes)
        except (Exception, TooLong) as error:
            outcome.verdict, outcome.reason = "left out", f"{type(error).__name__}: {' '.join(str(error).split())}"
            return outcome
        try:
            with at_most(_ALL_S):
                _examine(outcome, episodes, offset)
        except (Exception, TooLong) as error:
            outcome.problems.append(f"{type(error).__name__}: {error}")
    ends = [str(each.message) for each in told if "ends here" in str(each.message)]
    if ends and outcome.verdict == "forks":
        outcome.verdict, outcome.reason = "ends", ends[0].partition("without it: ")[2]
    return outcome


def _play_alone(subject: Subject, episodes: int) -> None:
    """Play without this library what is compared later: some games raise or never end by themselves."""
    for seed in range(min(episodes, _ALONE_EPISODES) if subject.of.forks else 1):
        with at_most(_PLAIN_S):
            for _ in _steps(subject.make(), seed, subject.of.steps):
                pass


def _examine(outcome: Outcome, episodes: int, offset: int) -> None:
    make = outcome.subject.make
    outcome.reason = _refusal(make())
    if outcome.reason:
        outcome.verdict = "refused"
        outcome.problems += _harm(make)
        return
    outcome.fork_ms, outcome.deepcopy_ms = _costs(make())
    outcome.reason = _draws(make())
    if outcome.reason:
        outcome.verdict = "ends"
    else:
        outcome.problems += _unfaithful(outcome.subject)
    for number in range(episodes):
        _compare(outcome, _COMBINATIONS[(offset + number) * _STRIDE % len(_COMBINATIONS)], number)
    _compare(outcome, (*_COMBINATIONS[offset % len(_COMBINATIONS)][:2], "threads"), offset)


def _compare(outcome: Outcome, combination: tuple[str, str, str], seed: int) -> None:
    """Compare one episode with the plain loop."""
    guesser, policy, runtime = combination
    subject, seconds = outcome.subject, _ON_THREADS_S if runtime == "threads" else _THINKING_S
    choices = Choices(subject.make(), seed)
    certificate = certify_on(
        runtime,
        (lambda: OwnObservations(subject.make())) if policy == "careless" else subject.make,
        POLICIES[policy](choices, seconds),
        {"policy": GUESSERS[guesser](choices, seconds)},
        [seed],
        max_steps=subject.of.steps,
        k=1 + seed % 3,
        max_inflight=1 + seed % 5,
        **({"guard": bool(seed % 2)} if runtime == "threads" else {}),
    )
    if certificate.verdict is Verdict.NONDETERMINISTIC_CONTROL:
        outcome.verdict, outcome.reason = "random", str(certificate)
    elif not shows_no_difference(certificate):
        outcome.problems.append(f"{guesser}, {policy}, {runtime}, seed {seed}: {certificate}")
    if runtime == "threads":
        outcome.on_threads += 1
    else:
        outcome.episodes += 1


def _draws(env: gym.Env[Any, Any]) -> str:
    """From which global generator its steps draw, if they do; a rehearsal finds some of this, and steps the rest."""
    for seed in range(12):
        steps = _played(env, seed, 10)
        next(steps)
        before = GlobalGenerators()
        for _ in steps:
            moved = before.moved()
            if moved is not None:
                return f"its steps draw from the global generator {moved}"
    return ""


# -- forks -------------------------------------------------------------------------------------------------------------


def _unfaithful(subject: Subject) -> list[str]:
    env = subject.make()
    choices = Choices(env, 1)
    try:
        steps = max(2, subject.of.steps // 3)
        check_fork(env, steps=steps, actions=lambda observation, info, rng: choices(observation, int(rng.integers(3))))
    except ForkCheckFailed as error:
        return [f"check_fork: {error}"]
    return []


def _costs(env: gym.Env[Any, Any]) -> tuple[float, float | None]:
    """What a fork and a deep copy cost in milliseconds of processor time, in the middle of an episode.

    The two take turns, and the least of each counts, so that a busy machine does not favour one of them.
    """
    for _ in _played(env, 0, 3):
        pass
    forking = copying = math.inf
    for _ in range(15):
        forking = min(forking, _cost_ms(lambda: fork(env)))
        with contextlib.suppress(Exception):  # some cannot be copied so
            copying = min(copying, _cost_ms(lambda: copy.deepcopy(env)))
    return forking, copying if copying < math.inf else None


def _cost_ms(do: Callable[[], Any]) -> float:
    begun = time.process_time()
    do()
    return (time.process_time() - begun) * 1000


# -- refusals ----------------------------------------------------------------------------------------------------------


def _speculative(env: gym.Env[Any, Any]) -> SpeculativeWrapper[Any, Any]:
    choices = Choices(env, 0)
    guesser = GUESSERS["perfect"](choices, _THINKING_S)
    return SpeculativeWrapper(
        env, POLICIES["seeded"](choices, _THINKING_S), guessers={"policy": guesser}, runtime="simulation"
    )


def _refusal(env: gym.Env[Any, Any]) -> str:
    """Why the environment is refused, when the wrapper is made or at the first reset; empty if it is not."""
    try:
        _speculative(env).reset(seed=0)
    except NotForkable as error:
        return str(error)
    return ""


def _harm(make: Maker) -> list[str]:
    """In what an environment that was refused differs from a twin that nobody tried to fork.

    Harm that an attempt does comes each time. Some C libraries differ in the last bit now and then, without any attempt
    (PyBullet by the addresses of its bodies), so one history that is equal to a plain one clears the environment.
    """
    plain = [_history(make, attempt=False) for _ in range(2)]
    if plain[0] != plain[1]:
        return []  # nothing can be said of it
    for _ in range(_HARM_TRIES):
        tried = _history(make, attempt=True)
        if tried in plain:
            return []
        plain.append(_history(make, attempt=False))
    for number, (one, other) in enumerate(itertools.zip_longest(plain[0], tried)):
        if one != other:
            return [f"harmed: after it was refused, event {number} is {other!r:.200}, and should be {one!r:.200}"]
    return []


def _history(make: Maker, attempt: bool) -> list[Any]:
    """Two episodes; with ``attempt``, the environment is tried to be forked in and between them."""
    random.seed(5)
    np.random.seed(5)
    env = make()
    history = list(_played(env, 1, 3))
    if attempt:
        _try_to_fork(env)
    history += _played(env, 2, 10)
    if attempt:
        _try_to_fork(env)
    history += _played(env, 3, 10, begin=False)
    env.close()
    return history


def _try_to_fork(env: gym.Env[Any, Any]) -> None:
    generators = random.getstate(), np.random.get_state()
    for refused in (fork, _speculative):
        try:
            refused(env)
        except NotForkable:
            pass
    gc.collect()  # what the attempts have left is dropped now
    assert (random.getstate(), key_of(np.random.get_state())) == (generators[0], key_of(generators[1]))


def _played(env: gym.Env[Any, Any], seed: int, steps: int, *, begin: bool = True) -> Iterator[Any]:
    """What is seen of some steps; an error of the environment ends them and is seen, too."""
    try:
        yield from _steps(env, seed, steps, begin=begin)
    except Exception as error:
        yield type(error).__name__, str(error)


def _steps(env: gym.Env[Any, Any], seed: int, steps: int, *, begin: bool = True) -> Iterator[Any]:
    choices, observation = Choices(env, seed), None
    if begin:
        observation, info = env.reset(seed=seed)
        yield key_of(observation)
    for number in range(steps):
        result = env.step(choices(observation, number))
        observation = result[0]
        yield key_of(result[:4])
        if result[2] or result[3]:
            return
