"""``spec-envs bench served-chess``: chess between two players that ask a model over HTTP; what speculation saves of it.

The same game is played plainly and with speculation, side by side, each against a server of its own. Both players are
``ChatPolicy`` over ``ChatModel``; the servers' model is Stockfish at the pace of a language model, as slow for equal
requests. The tokens that the speculative run's server has produced are compared with those that ``statistics`` reports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinChessGuesser, StockfishGuesser
from spec_envs.agents.llm import ChatModel, ChatPolicy
from spec_envs.benchmarks.chess.run import play
from spec_envs.benchmarks.reports import console, table, versions, write_json
from spec_envs.benchmarks.serving.behaviour import Pace
from spec_envs.benchmarks.serving.models import ChessModel
from spec_envs.benchmarks.serving.server import ModelServer
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import SpeculativeWrapper, Statistics, Trace

if TYPE_CHECKING:
    from spec_envs.benchmarks.serving.counting import ServerStatistics
    from spec_envs.guesses import Guesser

_FIRST_TOKEN_S = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How the game is played.

    Args:
        plies: Half moves, after an opening drawn by the seed.
        seconds: Median time of an answer.
        tokens_per_s: How fast the model writes; most of what it writes is reasoning.
        spread: Of both, as in ``Pace``.
        guesses: "stockfish" at depth 1, or "builtin".
        k: Guesses for one call.
        max_inflight: Speculative calls at once.
        seed: Of the opening and the pace.
    """

    plies: int = 30
    seconds: float = 2.0
    tokens_per_s: float = 100.0
    spread: float = 0.3
    guesses: str = "stockfish"
    k: int = 3
    max_inflight: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("seconds", "tokens_per_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidConfiguration(f"{name} must be above 0 and finite, not {getattr(self, name)!r}")

    @property
    def pace(self) -> Pace:
        """The model's pace: what is left of an answer's time after the first token is reasoning."""
        first_s = min(_FIRST_TOKEN_S, self.seconds)
        return Pace(
            first_token_s=first_s,
            tokens_per_s=self.tokens_per_s,
            spread=self.spread,
            reasoning_tokens=round((self.seconds - first_s) * self.tokens_per_s),
            seed=self.seed,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One game: its moves, how long it took, and both sides' figures."""

    moves: tuple[str, ...]
    seconds: float
    statistics: Statistics
    trace: Trace
    server: ServerStatistics


def run(json_file: Path | None, **options: Any) -> None:
    """Play and report.

    Raises:
        InvalidConfiguration: An option makes no sense.
        DependencyNotInstalled: Stockfish is to guess and is not there, or the extra ``servers`` is missing.
    """
    settings = Settings(**options)
    model = ChessModel()
    try:
        import openai  # noqa: F401  (takes most of a second, and is no part of what is measured)

        with ThreadPoolExecutor(2) as executor:
            plain_run = executor.submit(_play, model, settings, None)
            with _guesser(settings) as guesser:
                ahead = _play(model, settings, guesser)
            plain = plain_run.result()
    finally:
        model.close()
    report = report_of(plain, ahead, settings)
    if json_file is not None:
        write_json(report, json_file)
    else:
        _print(report, settings)


def _guesser(settings: Settings) -> Any:
    if settings.guesses == "builtin":
        return contextlib.nullcontext(BuiltinChessGuesser())
    return StockfishGuesser()


def _play(model: ChessModel, settings: Settings, guesser: Guesser | None) -> Run:
    """One game against a server of its own; plain where nobody guesses."""
    with (
        ModelServer(model, name="chess", pace=settings.pace) as server,
        ChatModel("chess", base_url=server.base_url) as chat,
    ):
        player = ChatPolicy(chat, "chess")
        env = gym.make("SpecChess-v0", opponent=player, max_plies=settings.plies, opening="random", claim_draw=False)
        guessers = {} if guesser is None else {"policy": guesser, "opponent": guesser}
        places = 0 if guesser is None else settings.max_inflight
        with SpeculativeWrapper(env, player, guessers=guessers, k=settings.k, max_inflight=places) as wrapped:
            start = time.perf_counter()
            moves = play(wrapped, wrapped.act, settings.seed)
            seconds = time.perf_counter() - start
        # After close: only then has every cancelled call ended, and is charged.
        return Run(moves, seconds, wrapped.statistics, wrapped.trace, server.settle())


def report_of(plain: Run, ahead: Run, settings: Settings) -> dict[str, Any]:
    """The figures of both runs."""
    ends = [event for event in ahead.trace if event.kind == "end"]
    cut_reported = sum(event.tokens_out for event in ends if event.outcome == "stopped")
    whole = sum(event.tokens_out for event in ends if event.outcome != "stopped")
    produced, reported = ahead.server.tokens_out, _all_tokens_out(ahead.statistics)
    # Not those that the server saw hang up: some are cancelled when it has written everything.
    cut = produced - whole
    return {
        "config": {**dataclasses.asdict(settings), "versions": versions()},
        "plain": _figures(plain),
        "speculative": _figures(ahead) | {"hit_rate": ahead.statistics.hit_rate, "calls": ahead.statistics.calls},
        "saved": 1 - ahead.seconds / plain.seconds,
        "same_game": plain.moves == ahead.moves,
        "tokens": {"produced": produced, "reported": reported, "difference": _difference(reported, produced)},
        "cancelled": {
            "hung_up": ahead.server.hung_up,
            "produced": cut,
            "reported": cut_reported,
            "difference": _difference(cut_reported, cut),
        },
    }


def _figures(played: Run) -> dict[str, Any]:
    return {
        "seconds": played.seconds,
        "requests": played.server.requests,
        "tokens_out": played.server.tokens_out,
        "tokens_out_reported": _all_tokens_out(played.statistics),
        "tokens_in": played.server.tokens_in,
        "moves": " ".join(played.moves),
    }


def _all_tokens_out(statistics: Statistics) -> float:
    return (statistics.committed + statistics.wasted + statistics.guessing).tokens_out


def _difference(reported: float, produced: float) -> float:
    """By what share of what was produced the report is off."""
    return (reported - produced) / produced if produced else float(reported > 0)


def _print(report: dict[str, Any], settings: Settings) -> None:
    title = (
        f"{settings.plies} plies over HTTP, answers of {settings.seconds:g} s, guesses: {settings.guesses}, "
        f"k={settings.k}, {settings.max_inflight} speculative calls at once"
    )
    columns = ("run", "seconds", "requests", "tokens out (server)", "tokens out (statistics)")
    rows = [
        [name, *(f"{report[name][key]:,.4g}" for key in ("seconds", "requests"))]
        + [f"{report[name][key]:,.0f}" for key in ("tokens_out", "tokens_out_reported")]
        for name in ("plain", "speculative")
    ]
    out = console()
    out.print(table(title, columns, rows))
    cancelled, calls = report["cancelled"], report["speculative"]["calls"]
    out.print(
        f"{report['saved']:.1%} saved, {report['speculative']['hit_rate']:.1%} of the responses guessed; "
        f"the same game: {'yes' if report['same_game'] else 'NO'}\n"
        f"Calls: {', '.join(f'{count} {outcome}' for outcome, count in calls.items() if count)}.\n"
        f"Tokens reported against produced: {report['tokens']['difference']:+.1%}. Of the cancelled calls, "
        f"{cancelled['hung_up']} of which the server saw hang up: "
        f"{cancelled['reported']:,.0f} against {cancelled['produced']:,.0f}, "
        f"{cancelled['difference']:+.1%}."
    )
