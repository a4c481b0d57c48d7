"""Shared by the experiments: playing and timing of episodes, clocks, and the figures of a run."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import gymnasium as gym

from spec_envs.agents.llm.prices import ListPrice
from spec_envs.benchmarks.options import Clock
from spec_envs.calls import Call
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess, Guesser
from spec_envs.handling import CancelToken, as_guess
from spec_envs.usage import Usage
from spec_envs.values import same
from spec_envs.wrappers import (
    AsyncSpeculativeWrapper,
    SimulationRuntime,
    SpeculativeWrapper,
    Statistics,
    ThreadRuntime,
    Trace,
)
from spec_envs.wrappers.certify import PlainAsyncLoop, PlainLoop
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.simulation import VirtualToken

T = TypeVar("T")

#: The fields of ``Speculated`` that are copied from ``Statistics``.
_COUNTED = ("hit_rate", "hits", "windows", "calls", "guesses", "divergences")


class Step(NamedTuple):
    """A step of an episode. The first one is the reset: its action is ``None``, and its reward 0."""

    action: Any
    observation: Any
    reward: float
    info: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """An episode that was played to its end: the reset and all steps after it, and how long they took."""

    steps: Sequence[Step]
    seconds: float

    @property
    def actions(self) -> list[Any]:
        """All actions."""
        return [step.action for step in self.steps[1:]]

    @property
    def seen(self) -> list[tuple[Any, Any, float]]:
        """Actions, observations and rewards: what must be equal with speculation and without."""
        return [step[:3] for step in self.steps]

    def is_as(self, other: Episode) -> bool:
        """Whether both episodes have the same actions, observations and rewards."""
        return same(self.seen, other.seen)


def steps_of(
    env: gym.Env[Any, Any] | PlainLoop,
    act: Callable[[Any], Any],
    *,
    seed: int = 0,
    options: dict[str, Any] | None = None,
) -> Iterator[Step]:
    """Play an episode step by step: yields the reset, and then each step; the arguments are those of ``play``."""
    observation, info = env.reset(seed=seed, options=options)
    yield Step(None, observation, 0.0, info)
    done = False
    while not done:
        action = act(observation)
        observation, reward, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        yield Step(action, observation, float(reward), info)


def play(
    env: gym.Env[Any, Any] | PlainLoop,
    act: Callable[[Any], Any],
    *,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    now: Callable[[], float] = time.perf_counter,
    on_step: Callable[[Step], None] | None = None,
) -> Episode:
    """Play an episode to its end, as ``steps_of`` does, by the clock ``now``; ``on_step`` is called with each step."""
    start = now()
    steps = []
    for step in steps_of(env, act, seed=seed, options=options):
        steps.append(step)
        if on_step is not None:
            on_step(step)
    seconds = now() - start
    kept = _traces.get()
    if kept is not None and isinstance(env, SpeculativeWrapper):
        kept.append(env.trace)
    return Episode(steps, seconds)


def play_plainly(
    env: gym.Env[Any, Any],
    policy: Callable[..., Any],
    runtime: Runtime,
    *,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Episode:
    """Play an episode by the plain loop, with the clock of ``runtime``, and close ``env``."""
    with contextlib.closing(PlainLoop(env, policy, runtime)) as loop:
        return play(loop, loop.act, seed=seed, options=options, now=runtime.now, on_step=on_step)


async def play_awaited(loop: AsyncSpeculativeWrapper[Any, Any] | PlainAsyncLoop, seed: int) -> Any:
    """Play an episode on an event loop to its end, and close ``loop``; returns the last observation."""
    try:
        observation, _ = await loop.reset(seed=seed)
        done = False
        while not done:
            observation, _, terminated, truncated, _ = await loop.step(await loop.act(observation))
            done = terminated or truncated
        return observation
    finally:
        await loop.close()


#: The list to which ``play`` adds the trace of a wrapper.
_traces: contextvars.ContextVar[list[Trace] | None] = contextvars.ContextVar("spec_envs_traces", default=None)


@contextlib.contextmanager
def kept_traces() -> Iterator[list[Trace]]:
    """Keep the traces of all episodes that are played with speculation in the ``with``, in the order of their ends."""
    traces: list[Trace] = []
    before = _traces.set(traces)
    try:
        yield traces
    finally:
        _traces.reset(before)


def folds_by(items: Sequence[T], group_of: Callable[[T], Any], count: int, noun: str) -> list[tuple[list[T], list[T]]]:
    """Pairs of items to learn from and items to run, ``count`` of them. No group is in both.

    Every ``count``-th group, in the order of the items, is in the same fold.

    Raises:
        InvalidConfiguration: There are fewer groups than folds.
    """
    groups = list(dict.fromkeys(map(group_of, items)))
    if len(groups) < count:
        raise InvalidConfiguration(
            f"--folds {count} needs at least {count} {noun}, and there are {len(groups)}: give fewer folds"
        )
    folds = []
    for held_out in (set(groups[part::count]) for part in range(count)):
        known = [each for each in items if group_of(each) not in held_out]
        folds.append((known, [each for each in items if group_of(each) in held_out]))
    return folds


def runtime_of(clock: Clock, *, priced: bool = False) -> Runtime:
    """A new runtime for ``--clock``: "virtual" simulates on one thread, "wall" runs threads that really wait.

    Args:
        clock: "virtual" or "wall".
        priced: Whether tokens cost money, namely as much as those of gpt-5; the experiments themselves count no money.
    """
    if priced:
        return _PricedSimulation() if clock == "virtual" else _PricedThreads()
    return SimulationRuntime() if clock == "virtual" else ThreadRuntime()


class _Priced(CancelToken):
    """A token of a call whose tokens have a price."""

    def usage(self, at: float | None = None) -> tuple[Usage, Usage]:
        """The cost of the call so far and in full, as ``CancelToken.usage``."""
        partial, full = super().usage(at)
        return _with_price(partial), _with_price(full)


class _PricedVirtualToken(_Priced, VirtualToken):
    pass


class _PricedSimulation(SimulationRuntime):
    def token(self) -> VirtualToken:
        """Return a new token on the virtual clock."""
        return _PricedVirtualToken(self)


class _PricedThreads(ThreadRuntime):
    def token(self) -> CancelToken:
        """Return a new token on the wall clock."""
        return _Priced()


def _with_price(usage: Usage) -> Usage:
    return ListPrice("gpt-5").usage(usage.tokens_in, usage.tokens_out)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """What one run cost in tokens."""

    tokens: float  # tokens of the calls that the run used: what it costs without speculation
    tokens_spent: float  # tokens of everything, every cancelled call charged in full; calls of guessers included
    tokens_full: float | None  # ``tokens_spent`` relative to ``tokens``; ``None`` where no call tells what it used
    tokens_partial: float | None  # the same with every cancelled call charged for the part that ran


def tokens_of(statistics: Statistics) -> dict[str, float | None]:
    """The fields of ``Tokens``."""
    is_counted = statistics.committed.tokens > 0
    return {
        "tokens": statistics.committed.tokens,
        "tokens_spent": (statistics.committed + statistics.wasted_full + statistics.guessing_full).tokens,
        "tokens_full": statistics.tokens_full if is_counted else None,
        "tokens_partial": statistics.tokens_partial if is_counted else None,
    }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Speculated(Tokens):
    """The figures of one run; base of the experiments' rows, which add their own.

    Times are seconds of the experiment's clock.
    """

    saved: float  # share of ``sequential_s`` that was saved
    hit_rate: float  # share of the guessed calls (``windows``) whose response was guessed in time (``hits``)
    hits: int  # see ``hit_rate``
    windows: int  # see ``hit_rate``
    calls: dict[str, int]  # calls by outcome, as in ``Statistics``
    guesses: dict[str, int]  # calls of guessers and prefetchers by outcome
    divergences: int  # branches that predicted the environment wrongly
    speculative_s: float  # how long the run took
    sequential_s: float  # how long the run takes without speculation
    lossless: int  # 1 if everything except time was the same as without speculation, else 0


def figures_of(statistics: Statistics, *, speculative_s: float, sequential_s: float, lossless: bool) -> dict[str, Any]:
    """The fields of ``Speculated``.

    Take the statistics after the wrapper was closed: only then has every cancelled call ended, and is charged.
    """
    return {
        "saved": 1 - speculative_s / sequential_s if sequential_s else 0.0,
        **{name: getattr(statistics, name) for name in _COUNTED},
        **tokens_of(statistics),
        "speculative_s": speculative_s,
        "sequential_s": sequential_s,
        "lossless": int(lossless),
    }


class TimedGuesser:
    """A guesser whose guesses take a declared time, for virtual clocks, on which computing takes no time."""

    def __init__(self, inner: Guesser, seconds: float | Callable[[Call], float]) -> None:
        self._inner: Any = inner
        self._seconds = seconds
        self._guess = as_guess(inner.guess)

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        """Return the inner guesses, after the declared time."""
        cancel.sleep(self._seconds(call) if callable(self._seconds) else self._seconds)
        guesses: Sequence[Guess] = self._guess(call, k, cancel)
        return guesses

    def observe(self, call: Call, response: Any) -> None:
        """Let the inner guesser learn, if it does."""
        if hasattr(self._inner, "observe"):
            self._inner.observe(call, response)


def charged(guesser: Guesser, seconds: float, clock: Clock) -> Guesser:
    """``guesser``, charged with ``seconds`` for each guess on the virtual clock; the wall clock measures its time."""
    return TimedGuesser(guesser, seconds) if clock == "virtual" else guesser


class VirtualLoop(asyncio.SelectorEventLoop):
    """Where it would wait for a timer, the clock is set to that time instead. It must not have to wait for threads.

    Args:
        computes: Whether what the process computes takes its time, too, so that a loop with too much to do is late.
    """

    def __init__(self, *, computes: bool = False) -> None:
        super().__init__(_Jumping(self))
        self.clock = 0.0
        self.computed = time.process_time if computes else float
        self.computed_s = self.computed()

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self.clock + self.computed_s


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen in virtual time: a task waits for ever, or a thread")
        self._loop.clock += max(0.0, timeout)
        self._loop.computed_s = self._loop.computed()  # once for all that is due, since to ask takes a while
        return super().select(0)
