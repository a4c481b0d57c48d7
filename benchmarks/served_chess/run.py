"""What speculation saves in a game of chess whose players call a model over HTTP.

The same game is played without speculation and with it, side by side, each with a model server of its own. Both players
are ``ChatPolicy`` over ``ChatModel``. The servers' model is Stockfish at the pace of a language model; equal requests
take equally long. The tokens that the server of the speculative game has produced are compared with those that
``statistics`` reports.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
from rich.console import RenderableType

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinChessGuesser, StockfishGuesser
from spec_envs.agents.llm import ChatModel, ChatPolicy
from spec_envs.benchmarks.chess.run import moves_of
from spec_envs.benchmarks.episodes import play, tokens_of
from spec_envs.benchmarks.reports import config_of, outcomes, percent, progress, table_of, tokens_text
from spec_envs.benchmarks.served_chess import ServedChessSettings
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.benchmarks.serving.behaviour import Pace, ServerStatistics
from spec_envs.benchmarks.serving.models import ChessModel
from spec_envs.extras import require
from spec_envs.guesses import Guesser
from spec_envs.wrappers import Limits, SpeculativeWrapper, Statistics, Trace

_FIRST_TOKEN_S = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One game: its moves, how long it took, and both sides' figures."""

    moves: tuple[str, ...]
    seconds: float
    statistics: Statistics
    trace: Trace
    server: ServerStatistics


def run(settings: ServedChessSettings) -> dict[str, Any]:
    """The report of both games.

    Raises:
        DependencyNotInstalled: Stockfish is to guess and is not installed, or the extra ``servers`` is missing.
    """
    require("bench served-chess", "servers")
    model = ChessModel()
    try:
        import openai  # noqa: F401  (the import takes most of a second, and must not be measured)

        with progress("games", 2) as advance, ThreadPoolExecutor(2) as executor:
            plain_run = executor.submit(_play, model, settings, None)
            plain_run.add_done_callback(advance)
            with _guesser(settings) as guesser:
                ahead = _play(model, settings, guesser)
            advance()
            plain = plain_run.result()
    finally:
        model.close()
    return report_of(plain, ahead, settings)


def pace_of(settings: ServedChessSettings) -> Pace:
    """The model's pace: after the first token, the rest of an answer's time is spent on reasoning."""
    first_s = min(_FIRST_TOKEN_S, settings.seconds)
    return Pace(
        first_token_s=first_s,
        tokens_per_s=settings.tokens_per_s,
        spread=settings.spread,
        reasoning_tokens=round((settings.seconds - first_s) * settings.tokens_per_s),
        seed=settings.seed,
    )


def _guesser(settings: ServedChessSettings) -> Any:
    if settings.guesses == "builtin":
        return contextlib.nullcontext(BuiltinChessGuesser())
    return StockfishGuesser()


def _play(model: ChessModel, settings: ServedChessSettings, guesser: Guesser | None) -> Run:
    """Play a game with a model server of its own; without speculation if ``guesser`` is ``None``."""
    with (
        ModelServer(model, name="chess", pace=pace_of(settings)) as server,
        ChatModel("chess", base_url=server.base_url) as chat,
    ):
        player = ChatPolicy(chat, "chess")
        env = gym.make("SpecChess-v0", opponent=player, max_plies=settings.plies, opening="random", claim_draw=False)
        guessers = {} if guesser is None else {"policy": guesser, "opponent": guesser}
        limits = Limits(max_inflight=0) if guesser is None else settings.limits
        with SpeculativeWrapper(env, player, guessers=guessers, k=settings.k, limits=limits, guard=False) as wrapped:
            played = play(wrapped, wrapped.act, seed=settings.seed)
        # After close: only then has every cancelled call ended, and is charged.
        return Run(moves_of(played), played.seconds, wrapped.statistics, wrapped.trace, server.settle())


def report_of(plain: Run, ahead: Run, settings: ServedChessSettings) -> dict[str, Any]:
    """The figures of both runs."""
    ends = [event for event in ahead.trace if event.kind == "end"]
    cut_reported = sum(event.tokens_out for event in ends if event.outcome == "stopped")
    whole = sum(event.tokens_out for event in ends if event.outcome != "stopped")
    produced, reported = ahead.server.tokens_out, _all_tokens_out(ahead.statistics)
    # Requests that were hung up on are too few: some calls are cancelled after the server has written everything.
    cut = produced - whole
    return {
        "config": config_of(settings),
        "plain": _figures(plain),
        "speculative": _figures(ahead) | {"hit_rate": ahead.statistics.hit_rate, "calls": ahead.statistics.calls},
        "saved": 1 - ahead.seconds / plain.seconds,
        "mean": {
            "saved": 1 - ahead.seconds / plain.seconds,
            "hit_rate": ahead.statistics.hit_rate,
            **(tokens := tokens_of(ahead.statistics)),
            "tokens_pooled": tokens["tokens_full"],  # there is one game
        },
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
    """How far ``reported`` is off, as a share of ``produced``."""
    return (reported - produced) / produced if produced else float(reported > 0)


def show(report: dict[str, Any], settings: ServedChessSettings) -> Iterator[RenderableType]:
    """The table of both games, what was saved, and how well the statistics agree with the server."""
    title = (
        f"{settings.plies} plies over HTTP, answers of {settings.seconds:g} s, guesses: {settings.guesses}, "
        f"{settings.title}"
    )
    columns = {
        "run": "{run}",
        "seconds": "{seconds:,.4g}",
        "requests": "{requests:,.4g}",
        "tokens out (server)": "{tokens_out:,.0f}",
        "tokens out (statistics)": "{tokens_out_reported:,.0f}",
    }
    yield table_of(title, columns, [{"run": name, **report[name]} for name in ("plain", "speculative")])
    cancelled = report["cancelled"]
    yield (
        f"{percent(report['saved'])} saved, {percent(report['speculative']['hit_rate'])} of the responses guessed; "
        f"the same game: {'yes' if report['same_game'] else 'NO'}\n"
        f"Calls: {outcomes(report['speculative']['calls'])}. {tokens_text(report['mean'])}\n"
        f"Tokens reported against produced: {report['tokens']['difference']:+.1%}. Tokens of cancelled calls: "
        f"{cancelled['reported']:,.0f} reported against {cancelled['produced']:,.0f} produced, "
        f"{cancelled['difference']:+.1%}; the server saw {cancelled['hung_up']} clients hang up."
    )
