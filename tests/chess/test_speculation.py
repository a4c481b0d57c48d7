"""Chess and speculation together: what a player at the board would notice."""

from __future__ import annotations

import io
from typing import Any

import gymnasium as gym

from spec_envs import Call, CancelToken, Effect, Guess
from spec_envs.agents import BuiltinChessGuesser, BuiltinChessPolicy
from spec_envs.chess.opponents import HumanOpponent
from spec_envs.chess.position import Position
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

MOVES = ("e7e5", "g8f6", "b8c6")


class SlowPerson:
    """Stands in for a person: thinks for a minute, and may be asked only once a move."""

    effect = Effect.WRITE

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, query: Position, cancel: CancelToken) -> str:
        self.asked.append(query.moves)
        cancel.sleep(60.0)
        return MOVES[len(query.moves) // 2]


class KnowsThePerson:
    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(MOVES[len(Position.of(call.query).moves) // 2], 0.9)]


def test_a_person_is_asked_once_and_the_reply_is_ready_when_they_move() -> None:
    person, runtime = SlowPerson(), SimulationRuntime()
    agent = with_latency(lambda observation: ("e2e4", "g1f3", "f1b5")[len(observation["history"].split()) // 2], 30.0)
    with SpeculativeWrapper(
        gym.make("SpecChess-v0", opponent=person, max_plies=6),
        policy=agent,
        guessers={"opponent": KnowsThePerson()},
        runtime=runtime,
    ) as env:
        observation, _ = env.reset(seed=0)
        done = False
        while not done:
            observation, _, terminated, truncated, _ = env.step(env.act(observation))
            done = terminated or truncated
        assert [len(moves) for moves in person.asked] == [1, 3, 5]
        assert runtime.now() == 30.0 + 3 * 60.0  # only the agent's first move was waited for
        assert not [event for event in env.trace if event.handler == "opponent" and event.speculative]


def test_a_person_at_the_terminal_can_play_an_agent_that_runs_ahead() -> None:
    output = io.StringIO()
    human = HumanOpponent(io.StringIO("e7e5\nb8c6\n"), output)
    guessers: dict[str, Any] = {"policy": BuiltinChessGuesser(), "opponent": BuiltinChessGuesser()}
    with SpeculativeWrapper(
        gym.make("SpecChess-v0", opponent=human, max_plies=4), policy=BuiltinChessPolicy(), guessers=guessers
    ) as env:
        observation, _ = env.reset(seed=0)
        for _ in range(2):
            observation, *_ = env.step(env.act(observation))
        assert observation["history"].split()[1::2] == ["e7e5", "b8c6"]
