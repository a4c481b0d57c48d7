"""Prompts for chess: the move of a policy or an opponent, and guesses of both."""

from __future__ import annotations

import re
from typing import Any

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import GuessPrompt, Past, PolicyPrompt, best_first, user_message
from spec_envs.chess.position import Position

_SYSTEM = "You are a strong chess player."
_UCI = re.compile(r"\b[a-h][1-8][a-h][1-8][qrbn]?\b")
_SAN = re.compile(r"(?:O-O(?:-O)?|0-0(?:-0)?|[KQRBN]?[a-h]?[1-8]?x?[a-h][1-8](?:=[QRBN])?)[+#]?")


def _situation(query: Any) -> str:
    """Return the position in words. ``serve-model`` reads these words back."""
    position = Position.of(query)
    board = position.board()
    return "\n".join(
        [
            f"{'White' if board.turn else 'Black'} is to move.",
            f"The game began from (FEN): {position.start_fen}",
            f"Moves since then (UCI): {' '.join(position.moves) or '-'}",
            f"The position now (FEN): {board.fen()}",
            f"Legal moves (UCI): {' '.join(sorted(move.uci() for move in board.legal_moves))}",
        ]
    )


def _request(observation: Any) -> ChatRequest:
    text = f'{_situation(observation)}\n\nChoose a move. End your answer with a line such as "Move: e2e4".'
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)))


def _guesses_request(query: Any, k: int, past: Past) -> ChatRequest:
    text = f"{_situation(query)}\n\n{best_first(k, 'moves here', 'in UCI notation such as e2e4')}"
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)))


def _move(text: str, query: Any) -> str:
    """Return the last legal move that ``text`` names; if there is a "Move:", only after it."""
    board = Position.of(query).board()
    said = text.rpartition("Move:")[2]
    named = _UCI.findall(said)
    legal = sorted(move.uci() for move in board.legal_moves)
    for uci in reversed(named):
        if uci in legal:
            return str(uci)
    for san in reversed(_SAN.findall(said)):
        try:
            return board.parse_san(san).uci()
        except ValueError:
            continue
    what = f"{named[-1]} is not legal" if named else f"{text[-80:]!r} names no legal move"
    raise ValueError(f"{what} in {board.fen()}; the legal moves are {' '.join(legal)}")


#: For ``ChatPolicy``: the agent's move, in UCI notation. It also answers the ``Position`` that an opponent gets.
CHESS = PolicyPrompt(request=_request, read=lambda completion, observation: _move(completion.text, observation))

_MOVES = GuessPrompt(request=_guesses_request, read=_move)
#: For ``ChatGuesser``: the moves of both sides.
CHESS_GUESSES = {"policy": _MOVES, "opponent": _MOVES}
