"""``spec-envs play``: a person at the terminal, and an agent that works ahead while they type."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import chess
import click
import gymnasium as gym

from spec_envs.agents import BuiltinChessGuesser, BuiltinChessPolicy, CallableGuesser, ScriptedRetailPolicy
from spec_envs.benchmarks.episodes import play
from spec_envs.calls import Call
from spec_envs.chess.game import Game
from spec_envs.chess.render import board_in_letters
from spec_envs.errors import HandlerFailed
from spec_envs.guesses import Guesser
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.queries import STOP
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency


def play_chess(plies: int | None, agent_seconds: float, k: int, max_inflight: int) -> None:
    """Play black against the built-in engine, which stands in for an agent that thinks for a long time."""
    env = gym.make("SpecChess-v0", opponent="human", max_plies=plies)
    policy = with_latency(BuiltinChessPolicy(depth=2), agent_seconds)
    guessers: dict[str, Guesser] = {"opponent": BuiltinChessGuesser(depth=2)}
    wrapped = SpeculativeWrapper(env, policy, guessers=guessers, k=k, max_inflight=max_inflight, guard=False)
    with _until_the_input_ends(), wrapped:
        info = _play(wrapped, agent_seconds, lambda move: f"\nThe agent plays {move}.")
        game: Game = env.unwrapped.game  # type: ignore[attr-defined]
        click.echo(f"\n{board_in_letters(game.board, chess.BLACK)}")
        click.echo(f"\nThe game ends: {info['outcome'] or 'that was the last move'}.")


def play_retail(task: str, agent_seconds: float, k: int, max_inflight: int) -> None:
    """Be the customer of a generated task; the agent is the scripted clerk, and thinks for a long time."""
    env = gym.make("SpecRetail-v0", customer="human", split=None)
    policy = with_latency(ScriptedRetailPolicy(), agent_seconds)
    guessers: dict[str, Guesser] = {"user": CallableGuesser(likely_replies)}
    wrapped = SpeculativeWrapper(env, policy, guessers=guessers, k=k, max_inflight=max_inflight, guard=False)
    with _until_the_input_ends(), wrapped:
        info = _play(wrapped, agent_seconds, _spoken, options={"task": task})
        data = "as they should be" if info.get("database") else "not as they should be"
        told = "" if all(info.get("outputs", {}).values()) else ", and you were not told what you wanted to know"
        click.echo(f"\nThe conversation ends ({info['outcome']}). The data are {data}{told}.")


@contextlib.contextmanager
def _until_the_input_ends() -> Iterator[None]:
    """Say it and stop where the person ends the input (Ctrl-D) in place of an answer."""
    try:
        yield
    except HandlerFailed as error:
        if not isinstance(error.__cause__, EOFError):
            raise
        click.echo(f"\n\nNothing more is played: {error}.")


def likely_replies(call: Call, k: int) -> Sequence[str]:
    """Messages that a person who plays the customer of a generated task may type, from short to long forms."""
    query = call.query
    told = scripted_customer(query)
    identity = query.task.scenario.identity
    if STOP in told:
        return [STOP]
    if told.startswith("Yes"):
        return ["yes", "Yes", "Yes.", told]
    if told.startswith("No,"):
        return ["no", "No", "No.", told]
    if identity.email in told:
        return [identity.email, told]
    return [told]


def _spoken(action: Any) -> str | None:
    """The text to show for an action that ends the clerk's turn; ``None`` for another tool call."""
    if isinstance(action, str):
        return ""  # the environment shows messages itself
    return f"\nThe agent calls somebody: {action['arguments']}." if action["name"].startswith("transfer") else None


def _play(
    env: SpeculativeWrapper[Any, Any],
    agent_seconds: float,
    spoken: Callable[[Any], str | None],
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Play to the end; show how long the person waited for each turn of the agent, which ``spoken`` puts in words."""
    waited_s = thought_s = since = 0.0
    thoughts = 0

    def act(observation: Any) -> Any:
        nonlocal waited_s, thought_s, thoughts, since
        if thoughts == 0:  # a turn of the agent begins
            since = time.monotonic()
        action, thoughts = env.act(observation), thoughts + 1
        if (said := spoken(action)) is not None:
            turn_s = time.monotonic() - since
            waited_s, thought_s = waited_s + turn_s, thought_s + thoughts * agent_seconds
            click.echo(f"{said}\n[{turn_s:.1f} s after you; it has thought for {thoughts * agent_seconds:.1f} s]")
            thoughts = 0
        return action

    info = play(env, act, options=options).steps[-1].info
    ahead = "the rest of it while you typed" if waited_s < thought_s else "none of it while you typed"
    click.echo(f"\nYou waited {waited_s:.1f} s for the agent, which thought for {thought_s:.1f} s, {ahead}.")
    return info
