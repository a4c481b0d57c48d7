"""Runs of equal steps, one after the other: plainly, with the guard, plainly again, and without a guard.

The plain loop has no wrapper at all. The two plain runs are one before and one after the guarded run, so that a machine
that slows down is noticed. A guarded run begins with nothing known, so it pays for its own cold start. What is quick is
played in three such rounds, of which the medians count.
"""

import dataclasses
import os
import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import gymnasium as gym
from rich.console import RenderableType

from spec_envs.agents import BuiltinChessGuesser, NearestGuesser
from spec_envs.agents.llm import ChatModel, ChatPolicy
from spec_envs.benchmarks.guard import GuardSettings
from spec_envs.benchmarks.reports import collected, config_of, console, percent, table_of
from spec_envs.benchmarks.serving import ModelServer, Pace
from spec_envs.benchmarks.serving.models import ChessModel
from spec_envs.calls import Call
from spec_envs.errors import HandlerFailed
from spec_envs.extras import require
from spec_envs.guesses import Guess, Guesser
from spec_envs.handling import CancelToken, as_handler
from spec_envs.wrappers import SpeculativeWrapper, Statistics
from spec_envs.wrappers.estimates import Estimates

# -- environments and policies ---------------------------------------------------------------------------------------

Work = Literal["sleep", "cpu"]
#: The guesser knows ``_KNOWN`` of ``_OF`` moves.
_OF, _KNOWN = 10, 7
_PLIES = 60


def busy(seconds: float, work: Work, cancel: CancelToken) -> None:
    """Take ``seconds``: wait for them, or compute for as long on one CPU."""
    if work == "sleep":
        if seconds:
            cancel.sleep(seconds)
        return
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@dataclasses.dataclass(frozen=True, slots=True)
class Setup:
    """An environment, its policy, and guessers for its calls; made anew for every run."""

    env: gym.Env[Any, Any]
    policy: Callable[..., Any]
    guessers: dict[str, Guesser]


def cartpole(seconds: float, work: Work) -> Setup:
    """CartPole with a policy that balances; the guesser learns the policy's actions during the run."""

    def balance(observation: Any, cancel: CancelToken) -> int:
        busy(seconds, work, cancel)
        return int(observation[2] + 0.3 * observation[3] > 0)

    return Setup(gym.make("CartPole-v1"), balance, {"policy": NearestGuesser()})


def chess(seconds: float, work: Work) -> Setup:
    """Chess between two players that both take ``seconds`` for a move; a guesser knows seven of ten moves."""

    def move(moves: list[str], place: str) -> str:
        return moves[zlib.crc32(place.encode()) % len(moves)]

    def policy(observation: Any, cancel: CancelToken) -> str:
        busy(seconds, work, cancel)
        return move(observation["legal_moves"].split(), observation["fen"])

    def opponent(position: Any, cancel: CancelToken) -> str:
        busy(seconds, work, cancel)
        board = position.board()
        return move(sorted(each.uci() for each in board.legal_moves), board.fen())

    class Knows:
        def guess(self, call: Call, k: int) -> list[Guess]:
            if call.handler == "policy":
                place, moves = call.query["fen"], call.query["legal_moves"].split()
            else:
                board = call.query.board()
                place, moves = board.fen(), sorted(each.uci() for each in board.legal_moves)
            number = zlib.crc32(place.encode())
            known = zlib.crc32(b"known" + place.encode()) % _OF < _KNOWN
            return [Guess(moves[(number + (not known)) % len(moves)], _KNOWN / _OF)]

    env = gym.make("SpecChess-v0", opponent=opponent, max_plies=_PLIES)
    return Setup(env, policy, {"policy": Knows(), "opponent": Knows()})


_SETUPS: dict[str, Callable[[float, Work], Setup]] = {"cartpole": cartpole, "chess": chess}


# -- runs ------------------------------------------------------------------------------------------------------------

_MILLISECONDS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: What the guard promises: no slower than by this share, or by this time a step, whichever is more.
_SHARE, _STEP_S = 0.05, 0.1e-3
#: Runs that take less than this are made in so many rounds: in so short a time other programs may change the figures.
_QUICK_S, _ROUNDS = 3.0, 3
_BUSY_LOAD = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class GuardRow:
    """The figures of one policy; ``setup`` names environment and work, or the queue of the model server."""

    setup: str
    milliseconds: float
    steps: int
    rounds: int  # how often each run was made
    plain_seconds: float  # median over the rounds of the mean of the two plain runs
    plain_spread: float  # how far the plain runs are apart at most, as a share of ``plain_seconds``
    guarded_seconds: float  # median over the rounds
    unguarded_seconds: float | None  # median over the rounds; None where the unguarded run failed
    slower: float  # by what share the guarded run is slower than the plain runs; negative: faster
    step_milliseconds: float  # the same in milliseconds a step
    worst_step_milliseconds: float  # the same in the round in which it was greatest
    held: bool  # whether the promise was held
    kept: float | None  # share of what the unguarded run saves that the guarded run saves; None where nothing is saved
    printed: float  # ``statistics.saved`` of the last guarded run
    printed_low: float | None  # the 95 % interval of ``printed``
    printed_high: float | None
    claimed: float  # ``statistics.claimed_saved`` of this run
    ahead: float  # share of the steps with calls made ahead


def run(settings: GuardSettings) -> dict[str, Any]:
    """The report of all policies.

    Raises:
        DependencyNotInstalled: A game over HTTP is wanted, and the extra ``servers`` is missing.
    """
    load = os.getloadavg()[0]
    if load > _BUSY_LOAD:
        console(stderr=True).print(
            f"This machine is busy (load {load:.1f}). These figures need an idle one: end other programs first."
        )
    cases = list(_cases(settings))
    rows = collected((case() for case in cases), "runs", len(cases))
    return {
        "config": config_of(settings, load=load),
        "runs": [dataclasses.asdict(row) for row in rows],
        "held": all(row.held for row in rows),
    }


def _cases(settings: GuardSettings) -> Iterator[Callable[[], GuardRow]]:
    works: tuple[Work, ...] = ("sleep", "cpu") if settings.work == "both" else (settings.work,)
    for name, make in _SETUPS.items():
        if settings.environment not in ("all", name):
            continue
        for work in works:
            for milliseconds in _MILLISECONDS:
                if milliseconds <= settings.longest_ms and not (work == "cpu" and not milliseconds):
                    yield lambda make=make, work=work, name=name, ms=milliseconds: _measure(  # type: ignore[misc]
                        f"{name} {work}", ms, lambda: make(ms / 1e3, work), settings.steps
                    )
    if settings.environment in ("all", "served"):
        yield lambda: _served("fifo", settings)
        yield lambda: _served("drop", settings)


@dataclasses.dataclass(frozen=True, slots=True)
class _Round:
    """Seconds of one run of each kind, one after the other."""

    plain: tuple[float, float]  # before and after the guarded run
    guarded: float
    unguarded: float | None  # None: it failed
    statistics: Statistics  # of the guarded run

    @property
    def plain_mean(self) -> float:
        return sum(self.plain) / 2


def _measure(name: str, milliseconds: float, make: Callable[[], Setup], steps: int) -> GuardRow:
    """The figures of one policy."""
    rounds = [_round(make, steps)]
    while len(rounds) < _ROUNDS and rounds[0].plain_mean < _QUICK_S:
        rounds.append(_round(make, steps))
    plain = statistics.median(each.plain_mean for each in rounds)
    guarded = statistics.median(each.guarded for each in rounds)
    done = [each.unguarded for each in rounds if each.unguarded is not None]
    unguarded = statistics.median(done) if len(done) == len(rounds) else None
    plain_runs = [seconds for each in rounds for seconds in each.plain]
    lost, last = guarded - plain, rounds[-1].statistics
    control = last.control
    return GuardRow(
        setup=name,
        milliseconds=milliseconds,
        steps=steps,
        rounds=len(rounds),
        plain_seconds=plain,
        plain_spread=(max(plain_runs) - min(plain_runs)) / plain,
        guarded_seconds=guarded,
        unguarded_seconds=unguarded,
        slower=lost / plain,
        step_milliseconds=1e3 * lost / steps,
        worst_step_milliseconds=1e3 * max(each.guarded - each.plain_mean for each in rounds) / steps,
        held=lost <= max(_SHARE * plain, _STEP_S * steps),
        kept=(plain - guarded) / (plain - unguarded) if unguarded and unguarded < 0.95 * plain else None,
        printed=last.saved,
        printed_low=None if control is None else control.low,
        printed_high=None if control is None else control.high,
        claimed=last.claimed_saved,
        ahead=0.0 if control is None else control.ahead_cycles / control.cycles,
    )


def _round(make: Callable[[], Setup], steps: int) -> _Round:
    before = _plain_seconds(make(), steps)
    guarded, found = _wrapped_seconds(make(), steps, guard=True)
    after = _plain_seconds(make(), steps)
    return _Round((before, after), guarded, _unguarded_seconds(make(), steps), found)


def _steps(env: gym.Env[Any, Any], act: Callable[[Any], Any], steps: int) -> float:
    """Seconds that ``steps`` steps take, with the resets between episodes."""
    start = time.perf_counter()
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        if terminated or truncated:
            observation, _ = env.reset()
    return time.perf_counter() - start


def _plain_seconds(setup: Setup, steps: int) -> float:
    policy = as_handler(setup.policy)
    try:
        return _steps(setup.env, lambda observation: policy(observation, CancelToken()), steps)
    finally:
        setup.env.close()


def _wrapped_seconds(setup: Setup, steps: int, *, guard: bool) -> tuple[float, Statistics]:
    # New estimates: otherwise the second wrapper would know what the first one has learned of the policy.
    env = SpeculativeWrapper(setup.env, setup.policy, guessers=setup.guessers, guard=guard, estimates=Estimates())
    try:
        return _steps(env, env.act, steps), env.statistics
    finally:
        env.close()


def _unguarded_seconds(setup: Setup, steps: int) -> float | None:
    try:
        return _wrapped_seconds(setup, steps, guard=False)[0]
    except HandlerFailed:  # as with a server that drops one request for another
        return None


def _served(queue: Literal["fifo", "drop"], settings: GuardSettings) -> GuardRow:
    """Chess whose players call a model server with one slot."""
    require("bench guard --environment served", "servers")
    pace = Pace(first_token_s=settings.served_seconds)
    steps = (settings.served_plies + 1) // 2
    model = ChessModel()
    server = ModelServer(model, name="chess", pace=pace, slots=1, queue=queue)
    chat = ChatModel("chess", base_url=server.base_url, max_retries=0)
    player, guesser = ChatPolicy(chat, "chess"), BuiltinChessGuesser()

    def make() -> Setup:
        env = gym.make("SpecChess-v0", opponent=player, max_plies=settings.served_plies, claim_draw=False)
        return Setup(env, player, {"policy": guesser, "opponent": guesser})

    try:
        return _measure(f"one slot, {queue}", 1e3 * settings.served_seconds, make, steps)
    finally:
        for each in (chat, server, model):
            each.close()


def show(report: dict[str, Any], settings: GuardSettings) -> Iterator[RenderableType]:
    """The table of policies, and whether the promise was held."""
    columns = {
        "setup": "{setup}",
        "ms": "{milliseconds:g}",
        "plain s": "{plain_seconds:.3g}",
        "guarded": "{guarded_seconds:.3g}",
        "unguarded": "{unguarded}",
        "slower": "{slower:+.1%}",
        "ms a step": "{step_milliseconds:+.3f}",
        "printed": "{printed:+.1%}",
        "claimed": "{claimed:+.1%}",
        "ahead": "{ahead:.0%}",
        "held": "{held}",
    }
    rows = [
        {
            **row,
            "held": "yes" if row["held"] else "no",
            "unguarded": "failed" if row["unguarded_seconds"] is None else f"{row['unguarded_seconds']:.3g}",
        }
        for row in report["runs"]
    ]
    yield table_of("Plainly, with the guard, and without it", columns, rows)
    kept = [row["kept"] for row in report["runs"] if row["kept"] is not None and row["milliseconds"] >= 100]
    least = f", and keeps at least {percent(min(kept))} of what is saved without it from 100 ms on" if kept else ""
    held = "was never" if report["held"] else "WAS SOMETIMES"
    yield f"The guard {held} more than 5 % or 0.1 ms a step slower than the plain loop{least}."
    if any(row["rounds"] > 1 for row in report["runs"]):
        worst = max(row["worst_step_milliseconds"] for row in report["runs"] if row["rounds"] > 1)
        yield f"Quick runs are medians of {_ROUNDS} rounds; in a single round, {worst:+.3f} ms a step was the most."
