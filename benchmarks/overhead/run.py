"""What speculation costs where it saves nothing: forks, steps, windows, cancelling, and whole runs."""

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import statistics
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import gymnasium as gym
from rich.console import RenderableType

from spec_envs.agents import PatternGuesser, ScriptedSearchPolicy
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.chess.run import ChessBench, made_up_game
from spec_envs.benchmarks.episodes import steps_of
from spec_envs.benchmarks.overhead import (
    Measured,
    OverheadSettings,
    Right,
    chess,
    copies,
    median_fork_us,
    pattern,
    plain_steps,
    retail,
    vectors,
)
from spec_envs.benchmarks.reports import collected, config_of, table_of
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.chess.position import Position
from spec_envs.forking import fork
from spec_envs.guesses import Guess
from spec_envs.handling import CancelToken, as_handler
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.wrappers import AsyncSpeculativeWrapper, LastWriteWins, SpeculativeTools, SpeculativeWrapper
from spec_envs.wrappers.tools import ToolLimits

_PLIES = 30
_FORKS = 2000
_EPISODES = 15
_CANCELS = 200

_RuntimeName = Literal["threads", "asyncio", "simulation"]


def run(settings: OverheadSettings) -> dict[str, Any]:
    """The report of everything that is measured."""
    parts: list[Callable[[], Iterable[Measured]]] = [
        _forks,
        _search_forks,
        _steps,
        plain_steps.figures,
        _windows,
        _copies,
        _cancels,
        _tool_calls,
        retail.figures,
        retail.tau_bench_figures,
        chess.figures,
        vectors.figures,
        pattern.figures,
        _replay,
    ]
    measured = collected((list(part()) for part in parts), "measuring", len(parts))
    figures = list(itertools.chain.from_iterable(measured))
    return {
        "config": config_of(settings),
        "figures": [dataclasses.asdict(figure) | {"met": figure.met} for figure in figures],
        "notes": _notes(),
    }


def _notes() -> list[str]:
    """What was not measured, and what it would need."""
    needed = {
        retail.WITHOUT_TAU_BENCH: retail.tau_bench_is_installed(),
        chess.WITHOUT_PETTINGZOO: chess.pettingzoo_is_installed(),
        vectors.WITHOUT_SUPERSUIT: vectors.supersuit_is_installed(),
    }
    return [note for note, is_there in needed.items() if not is_there]


def show(report: dict[str, Any], settings: OverheadSettings) -> Iterator[RenderableType]:
    """The table of figures and targets."""
    columns = {"figure": "{name}", "target": "{wanted}", "measured": "{measured:.4g} {unit}", "met": "{verdict}"}
    rows = []
    for figure in report["figures"]:
        has_target, sign = figure["target"] is not None, ">=" if figure["at_least"] else "<="
        wanted = f"{sign} {figure['target']:g} {figure['unit']}" if has_target else ""
        rows.append(figure | {"wanted": wanted, "verdict": ("yes" if figure["met"] else "NO") if has_target else ""})
    yield table_of("What speculation costs", columns, rows)
    yield from report["notes"]


# -- forks ---------------------------------------------------------------------------------------------------------


def _forks() -> Iterator[Measured]:
    """A fork of everything that ``gym.make`` builds, in the middle of a game."""
    with _chess_env() as env:
        _play_some(env, _recorded, _PLIES // 3)
        microseconds = median_fork_us(env, _FORKS)
    yield Measured("fork of the gym.make chess stack (median)", "us", microseconds, 10)


def _search_forks() -> Iterator[Measured]:
    """Forks of a search episode that has read two pages: the time of one, and the memory of a thousand."""
    with gym.make("SpecSearch-v0", split="train") as env:
        _play_some(env, ScriptedSearchPolicy(), 2)
        microseconds = median_fork_us(env, _FORKS)
        tracemalloc.start()
        twins = [fork(env) for _ in range(1000)]
        for twin in twins:
            twin.step("search[Merrow]")
        megabytes = tracemalloc.get_traced_memory()[0] / 1e6
        tracemalloc.stop()
    yield Measured("fork of the gym.make search stack (median)", "us", microseconds, 30)
    yield Measured("1,000 forks of one search episode, each a step on", "MB", megabytes, 20)


def _play_some(env: gym.Env[Any, Any], act: Callable[[Any], Any], steps: int) -> None:
    """Reset, and play the first steps."""
    for _ in itertools.islice(steps_of(env, act), steps + 1):
        pass


# -- steps ---------------------------------------------------------------------------------------------------------

_GAME = made_up_game(_PLIES)


def _recorded(query: Any) -> str:
    """The recorded move, at once; an opponent and a policy."""
    return _GAME.moves[len(Position.of(query).moves)]


class _RightAsync(Right):
    """``Right`` as a coroutine function."""

    async def guess(self, call: Call, k: int) -> list[Guess]:  # type: ignore[override]  # a guesser of the event loop
        """Return the response as a guess."""
        return super().guess(call, k)


def _chess_env() -> gym.Env[Any, Any]:
    return gym.make("SpecChess-v0", opponent=_recorded, max_plies=_PLIES, claim_draw=False)


class _Case(NamedTuple):
    """An environment whose only handler has the name ``handler``, and answers ``response`` at once."""

    name: str
    make: Callable[[], gym.Env[Any, Any]]
    policy: Callable[[Any], Any]
    handler: str
    response: Callable[[Any], Any]


def _steps() -> Iterator[Measured]:
    """A step with the wrapper and one without it, side by side, where every handler answers at once."""
    for case in (
        _Case("smallest env", lambda: FakeEnv(length=_PLIES // 2), pure_response, "world", pure_response),
        _Case("chess", _chess_env, _recorded, "opponent", _recorded),
    ):
        yield from _step_figures("step", case, {"threads": 1.0, "asyncio": 1.0, "simulation": 0.2})


def _windows() -> Iterator[Measured]:
    """A window of simulated tuning; the simulator takes no time."""
    backend, token = SimulatedBackend(), CancelToken()
    case = _Case(
        "tuning",
        lambda: gym.make("SpecTuning-v0", backend=backend, windows=_PLIES),
        lambda observation: {"slice_ms": 1.0 + int(observation["window"][0]) % 7},
        "measure",
        lambda query: backend(query, token),
    )
    yield from _step_figures("window", case, {"threads": 2.0, "asyncio": 2.0, "simulation": 2.0})
    yield from _live_windows(case)


def _live_windows(case: _Case) -> Iterator[Measured]:
    """The same in ``LastWriteWins``, whose tuner answers at once."""
    runtimes: tuple[Literal["threads", "simulation"], ...] = ("threads", "simulation")
    for runtime in runtimes:
        with contextlib.closing(LastWriteWins(case.make(), case.policy, runtime=runtime)) as live:
            plain, wrapped = _beside_plain(case, functools.partial(_step_ms, live, live.act))
        name = f"LastWriteWins per window, {runtime}, {case.name} (plain: {plain:.3f} ms)"
        yield Measured(name, "ms", wrapped - plain, 2.0)


def _step_figures(what: str, case: _Case, targets: dict[_RuntimeName, float]) -> Iterator[Measured]:
    for runtime, target in targets.items():
        for guessed in (False, True):
            plain, wrapped = _step_times(case, runtime, guessed)
            name = f"wrapper per {what}, {runtime}, {case.name}, {'perfect' if guessed else 'no'} guesses"
            yield Measured(f"{name} (plain: {plain:.3f} ms)", "ms", wrapped - plain, target)


def _step_times(case: _Case, runtime: _RuntimeName, guessed: bool) -> tuple[float, float]:
    """Milliseconds of a step, plain and wrapped."""
    if runtime == "asyncio":
        return _step_times_async(case, guessed)
    guessers = {"policy": Right(case.policy), case.handler: Right(case.response)} if guessed else {}
    env = case.make()
    with SpeculativeWrapper(env, policy=case.policy, guessers=guessers, k=1, runtime=runtime, guard=False) as wrapper:
        times = _beside_plain(case, functools.partial(_step_ms, wrapper, wrapper.act))
    return times


def _step_times_async(case: _Case, guessed: bool) -> tuple[float, float]:
    """The same on an event loop, where handlers, policy and guessers are coroutine functions."""
    env = case.make()
    guessers = {"policy": _RightAsync(case.policy), case.handler: _RightAsync(case.response)} if guessed else {}
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, CallEnv)
    unwrapped.handlers = {case.handler: as_handler(_coroutine_of(case.response))}
    wrapper = AsyncSpeculativeWrapper(env, policy=_coroutine_of(case.policy), guessers=guessers, k=1, guard=False)
    with asyncio.Runner() as loop:
        times = _beside_plain(case, lambda: loop.run(_step_ms_async(wrapper)))
        loop.run(wrapper.close())
    return times


def _beside_plain(case: _Case, wrapped_ms: Callable[[], float]) -> tuple[float, float]:
    """Milliseconds of a step without a wrapper and with one: medians over episodes that take turns."""
    with case.make() as env:
        times = [(_step_ms(env, case.policy), wrapped_ms()) for _ in range(_EPISODES)]
    plain, wrapped = map(statistics.median, zip(*times, strict=True))
    return plain, wrapped


async def _step_ms_async(env: AsyncSpeculativeWrapper[Any, Any]) -> float:
    observation, _ = await env.reset(seed=0)
    done, steps, start = False, 0, time.perf_counter()
    while not done:
        observation, _, terminated, truncated, _ = await env.step(await env.act(observation))
        done, steps = terminated or truncated, steps + 1
    return (time.perf_counter() - start) / steps * 1e3


def _coroutine_of(function: Callable[[Any], Any]) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    async def call(query: Any) -> Any:
        return function(query)

    return call


def _step_ms(env: gym.Env[Any, Any], act: Callable[[Any], Any]) -> float:
    steps = steps_of(env, act)
    next(steps)  # the reset
    start = time.perf_counter()
    count = sum(1 for _ in steps)
    return (time.perf_counter() - start) / count * 1e3


def _copies() -> Iterator[Measured]:
    yield from copies.figures(_chess_env, _recorded)


# -- cancelling ----------------------------------------------------------------------------------------------------


def _cancels() -> Iterator[Measured]:
    """The time from a step that discards a branch to the ``CancelledError`` in the handler of the branch's call."""
    times = asyncio.run(_cancel_times())
    yield Measured("cancelling the task of a discarded branch (median)", "ms", statistics.median(times) * 1e3, 1)


async def _cancel_times() -> list[float]:
    times: list[float] = []

    async def world(query: Any) -> int:
        if query[1] != 0:  # on the branch: never answers
            try:
                await asyncio.Event().wait()
            finally:
                times.append(time.perf_counter() - start)
        return 0

    env = FakeEnv({"world": world}, length=_CANCELS)
    guessers = {"policy": _RightAsync(lambda query: 1)}
    async with AsyncSpeculativeWrapper(env, guessers=guessers, guard=False) as wrapper:
        await wrapper.reset(seed=0)
        for _ in range(_CANCELS):
            await asyncio.sleep(0.001)  # meanwhile the guessed action's call begins
            start = time.perf_counter()
            await wrapper.step(0)
    return times


# -- whole runs ----------------------------------------------------------------------------------------------------


def _replay() -> Iterator[Measured]:
    """A game in virtual time: the real seconds of all computing, guesses included."""
    for guesses in ("builtin", "stockfish"):
        settings = ChessSettings(plies=_PLIES, max_inflight=8, guesses=guesses)
        try:
            bench = ChessBench([_GAME], settings)
        except gym.error.DependencyNotInstalled:
            continue
        with bench:
            start = time.perf_counter()
            bench.replay(_GAME)
            seconds = time.perf_counter() - start
        yield Measured(f"{_PLIES}-ply replay in virtual time, 8 calls at once, guesses: {guesses}", "s", seconds, 2)


_RUNS, _CALLS = 10, 20
_THINKING_S = 0.01


def _tool_calls() -> Iterator[Measured]:
    """Calls that are never among the guesses; the guesser works after each call, and learns after each agent run."""
    yield Measured("call of an instant tool through SpeculativeTools (mean)", "ms", asyncio.run(_call_ms()), 1)


async def _call_ms() -> float:
    async def instant(number: int) -> dict[str, int]:
        return {"number": number}

    times = []
    # By default, calls of tools that answer at once are not predicted; here they are.
    limits = ToolLimits(min_latency_s=0.0)
    async with SpeculativeTools({"instant": Effect.READ}, PatternGuesser(), limits=limits) as tools:
        tools.add("instant", instant)
        for run in range(_RUNS):
            async with tools.run("Count."):
                for call in range(_CALLS):
                    await asyncio.sleep(_THINKING_S)
                    start = time.perf_counter()
                    await tools.call("instant", {"number": run * _CALLS + call})
                    times.append(time.perf_counter() - start)
    return statistics.fmean(times) * 1e3
