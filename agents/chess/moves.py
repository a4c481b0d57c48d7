"""Moves and positions as ``SpecChess-v0`` writes them in actions, queries and responses."""

from __future__ import annotations

from typing import Literal, get_args

import chess

from spec_envs import Call, InvalidConfiguration
from spec_envs.chess.encoding import encode_move
from spec_envs.chess.position import Position

#: The form of an environment's actions: UCI text, or an index in AlphaZero's encoding.
ActionFormat = Literal["uci", "index"]


def checked_format(action_format: ActionFormat) -> ActionFormat:
    """Return ``action_format``.

    Raises:
        InvalidConfiguration: ``action_format`` is neither "uci" nor "index".
    """
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
    return encode_move(chess.Move.from_uci(move), position.board().turn)


def as_response(call: Call, move: str, position: Position, action_format: ActionFormat) -> str | int:
    """Return a move in UCI as a response to ``call``: an action of the policy, or always UCI of an opponent."""
    return as_action(move, position, action_format if call.handler == "policy" else "uci")
