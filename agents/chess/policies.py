"""Policies for ``SpecChess-v0``, and how its moves are written in actions and responses."""

from typing import Any, ClassVar, Literal, get_args

import chess

from spec_envs import Call, CancelToken, Effect
from spec_envs.chess.encoding import encode_move
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.opponents import BuiltinOpponent, Opponent, RandomOpponent, StockfishOpponent
from spec_envs.chess.position import Position
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration

#: The form of an environment's actions: UCI text, or an index in AlphaZero's encoding.
ActionFormat = Literal["uci", "index"]


def checked_format(action_format: ActionFormat) -> ActionFormat:
    """Return ``action_format``; ``InvalidConfiguration`` if ``action_format`` is neither "uci" nor "index"."""
    if action_format not in get_args(ActionFormat):
        raise InvalidConfiguration(f"action_format must be 'uci' or 'index', not {action_format!r}")
    return action_format


def position_of(call: Call) -> Position | None:
    """Return the position that the query of ``call`` holds, or ``None`` if the query holds no position."""
    try:
        return Position.of(call.query)
    except TypeError:
        return None


def as_action(move: str, position: Position, action_format: ActionFormat) -> str | int:
    """Return a move in UCI as an action in ``action_format``."""
    if action_format == "uci":
        return move
    return encode_move(chess.Move.from_uci(move), position.board(stack=False).turn)


def as_response(call: Call, move: str, position: Position, action_format: ActionFormat) -> str | int:
    """Return a move in UCI as a response to ``call``: an action of the policy, or always UCI of an opponent."""
    return as_action(move, position, action_format if call.handler == "policy" else "uci")


class _Policy:
    """A player as a policy: a pure function of the observation."""

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, player: Opponent, action_format: ActionFormat) -> None:
        self._player = player
        self.action_format: ActionFormat = checked_format(action_format)

    def __call__(self, observation: Any, cancel: CancelToken | None = None) -> str | int:
        """Return the move to play.

        Args:
            observation: A text observation of ``SpecChess-v0``.
            cancel: Stops the search when it is cancelled. Default: the search is never stopped.
        """
        position = Position.of(observation)
        return as_action(self._player(position, cancel or CancelToken()), position, self.action_format)


class BuiltinChessPolicy(_Policy):
    """Plays the moves of the built-in engine; see ``BuiltinOpponent`` for ``depth``."""

    def __init__(self, depth: int = 1, *, action_format: ActionFormat = "uci") -> None:
        super().__init__(BuiltinOpponent(depth), action_format)


class RandomChessPolicy(_Policy):
    """Plays a random legal move, drawn from ``seed`` and the observation: equal observations get equal moves."""

    def __init__(self, seed: int = 0, *, action_format: ActionFormat = "uci") -> None:
        super().__init__(RandomOpponent(seed), action_format)


class StockfishPolicy(_Policy, Closing):
    """Plays the moves of Stockfish; see ``StockfishOpponent`` for the options."""

    def __init__(
        self,
        *,
        depth: int | None = None,
        nodes: int | None = None,
        skill: float | None = None,
        elo: int | None = None,
        pool: EnginePool | None = None,
        action_format: ActionFormat = "uci",
    ) -> None:
        self._stockfish = StockfishOpponent(depth=depth, nodes=nodes, skill=skill, elo=elo, pool=pool)
        super().__init__(self._stockfish, action_format)

    def close(self) -> None:
        """Stop the engines, unless they belong to a ``pool`` that was given. Idempotent."""
        self._stockfish.close()
