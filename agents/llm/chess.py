"""Chess as a chat model is asked about it."""

from __future__ import annotations

import re
from typing import Any

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts import GuessPrompt, Past, PolicyPrompt, best_first, user_message
from spec_envs.chess.position import Position

__all__ = ["CHESS", "CHESS_GUESSES"]

_SYSTEM = "You are a strong chess player."
_UCI = re.compile(r"\b[a-h][1-8][a-h][1-8][qrbn]?\b")
_SAN = re.compile(r"(?:O-O(?:-O)?|0-0(?:-0)?|[KQRBN]?[a-h]?[1-8]?x?[a-h][1-8](?:=[QRBN])?)[+#]?")


def _situation(query: Any) -> str:
    """The position in words, from which it can be read back."""
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


def _ask(observation: Any) -> ChatRequest:
    text = f'{_situation(observation)}\n\nChoose a move. End your answer with a line such as "Move: e2e4".'
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)))


def _ask_guesses(query: Any, k: int, past: Past) -> ChatRequest:
    text = f"{_situation(query)}\n\n{best_first(k, 'moves here', 'in UCI notation such as e2e4')}"
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)))


def _move(text: str, query: Any) -> str:
    """The last move that ``text`` names, after "Move:" if that is there."""
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


#: For ``ChatPolicy``: the agent's move, in UCI notation. It answers an opponent's ``Position`` just the same.
CHESS = PolicyPrompt(ask=_ask, read=lambda completion, observation: _move(completion.text, observation))

_MOVES = GuessPrompt(ask=_ask_guesses, read=_move)
#: For ``ChatGuesser``: the moves of both sides.
CHESS_GUESSES = {"policy": _MOVES, "opponent": _MOVES}
