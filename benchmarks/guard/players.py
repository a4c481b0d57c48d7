"""Policies that take a declared time, waiting or computing, and guessers that are right most of the time."""

import dataclasses
import time
import zlib
from collections.abc import Callable
from typing import Any, Literal

import gymnasium as gym

from spec_envs.agents import NearestGuesser
from spec_envs.calls import Call
from spec_envs.guesses import Guess, Guesser
from spec_envs.handling import CancelToken

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
