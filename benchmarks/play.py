"""``spec-envs play``: a person at the terminal, and an agent that works ahead while they type."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import gymnasium as gym

from spec_envs.agents import BuiltinChessGuesser, BuiltinChessPolicy, CallableGuesser, ScriptedRetailPolicy
from spec_envs.retail.customers.scripted import scripted_customer
from spec_envs.retail.queries import STOP
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

if TYPE_CHECKING:
    from spec_envs.calls import Call
    from spec_envs.guesses import Guesser


def play_chess(plies: int | None, agent_seconds: float, k: int, max_inflight: int) -> None:
    """Play black against the built-in engine, which stands in for an agent that thinks for long."""
    env = gym.make("SpecChess-v0", opponent="human", max_plies=plies, render_mode="ansi")
    policy = with_latency(BuiltinChessPolicy(depth=2), agent_seconds)
    guessers: dict[str, Guesser] = {"opponent": BuiltinChessGuesser(depth=2)}
    with SpeculativeWrapper(env, policy, guessers=guessers, k=k, max_inflight=max_inflight) as wrapped:
        info = _play(wrapped, agent_seconds, lambda move: f"\nThe agent plays {move}.")
        click.echo(f"\n{env.render()}\n\nThe game ends: {info['outcome'] or 'that was the last move'}.")


def play_retail(task: str, agent_seconds: float, k: int, max_inflight: int) -> None:
    """Be the customer of a generated task; the agent is the scripted clerk, and thinks for long."""
    env = gym.make("SpecRetail-v0", customer="human", split=None)
    policy = with_latency(ScriptedRetailPolicy(), agent_seconds)
    guessers: dict[str, Guesser] = {"user": CallableGuesser(likely_replies)}
    with SpeculativeWrapper(env, policy, guessers=guessers, k=k, max_inflight=max_inflight) as wrapped:
        info = _play(wrapped, agent_seconds, _spoken, options={"task": task})
    data = "as they should be" if info.get("database") else "not as they should be"
    told = "" if all(info.get("outputs", {}).values()) else ", and you were not told what you wanted to know"
    click.echo(f"\nThe conversation ends ({info['outcome']}). The data are {data}{told}.")


def likely_replies(call: Call, k: int) -> Sequence[str]:
    """What a person who plays a generated task's customer may type: the shortest form of it, and longer ones."""
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
    """What the person hears of an action of the clerk, or why there is nothing more to hear."""
    if isinstance(action, str):
        return ""
    return f"\nThe agent calls somebody: {action['arguments']}." if action["name"].startswith("transfer") else None


def _play(
    env: SpeculativeWrapper[Any, Any], agent_seconds: float, spoken: Callable[[Any], str | None], **reset: Any
) -> dict[str, Any]:
    """Play to the end, and tell after each of the agent's turns how long the person has waited for it.

    Args:
        env: The environment, in which a person answers.
        agent_seconds: How long the agent thinks about an action.
        spoken: What to show of an action that ends the agent's turn; ``None`` for one that does not.
        **reset: For ``reset``.

    Returns:
        The last info.
    """
    observation, info = env.reset(seed=0, **reset)
    waited_s = thought_s = 0.0
    done, thoughts, since = False, 0, time.monotonic()
    while not done:
        action = env.act(observation)
        thoughts += 1
        said = spoken(action)
        if said is not None:
            turn_s = time.monotonic() - since
            waited_s, thought_s = waited_s + turn_s, thought_s + thoughts * agent_seconds
            click.echo(f"{said}\n[{turn_s:.1f} s after you; it has thought for {thoughts * agent_seconds:.1f} s]")
        observation, _, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        if said is not None:
            thoughts, since = 0, time.monotonic()
    ahead = "the rest of it while you typed" if waited_s < thought_s else "none of it while you typed"
    click.echo(f"\nYou waited {waited_s:.1f} s for the agent, which thought for {thought_s:.1f} s, {ahead}.")
    return info
