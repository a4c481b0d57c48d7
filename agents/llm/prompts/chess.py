"""Prompts for chess: the move of a policy or an opponent, and guesses of both."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import chess

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.prompts.base import GuessPrompt, Past, PolicyPrompt, best_first, user_message
from spec_envs.chess.position import Position

_SYSTEM = "You are a strong chess player."
_LABEL = re.compile(r"\bmove\b[*_\s]*:", re.IGNORECASE)
_FIGURES = str.maketrans("♔♕♖♗♘♚♛♜♝♞×–—−→", "KQRBNKQRBNx----", "♙♟")
_PIECES = {"king": "K", "queen": "Q", "rook": "R", "bishop": "B", "knight": "N", "pawn": ""}
_SQUARE = "[a-h][1-8]"
#: "Knight to f3", "bishop from c1 takes g5", "g1 -> f3", "g1-f3".
_BY_WORD = re.compile(
    rf"\b({'|'.join(_PIECES)})(?:\s+(?:on|from|at)?\s*({_SQUARE}))?\s*(?:to|takes|captures|on|x|-*>?)\s*({_SQUARE})\b",
    re.IGNORECASE,
)
_FROM_TO = re.compile(rf"(?<![\w=])([KQRBN]?{_SQUARE})\s*(?:-+>?|x|:|\bto\b)\s*({_SQUARE})")
#: A word with a square in it, or castling, as far as it can be part of a move; and what may stand around it.
_WORD = re.compile(rf"(?<![\w-])(?:\w*{_SQUARE}\w*(?:=\w+)?|[Oo0]-[Oo0](?:-[Oo0])?)[+#!?]*(?![\w-])")
_AROUND = " \t\r\n*`'\"“”‘’„([{_"
_NUMBER = re.compile(r"^\d+\.+\s*")
_SQUARES = re.compile(rf"([KQRBN]?)({_SQUARE})({_SQUARE})=?([qrbnQRBN]?)")


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
    """Return the move that stands behind the last "Move:", or else the move that the last line or the text names.

    Raises:
        ValueError: No move stands there, the move is not legal, or there are several.
    """
    board = Position.of(query).board()
    *_, said = _LABEL.split(text)
    label = len(said) < len(text)
    last = (said.strip() or said).splitlines()[:1] if label else text.strip().splitlines()[-1:]
    named = _named("".join(last))
    if named and (label or named[0].start() == 0):
        return _legal(board, named[0][0])
    found: dict[str, None] = {}
    wrong = ""
    for each in _named(text) if not label else ():
        try:
            found[_legal(board, each[0])] = None
        except ValueError as error:
            wrong = str(error)
    if len(found) == 1:
        return next(iter(found))
    legal = " ".join(sorted(move.uci() for move in board.legal_moves))
    what = f"the text names several moves ({', '.join(found)})" if found else f"{text[-80:]!r} names no legal move"
    raise ValueError(wrong if wrong and not found else f"{what} in {board.fen()}; the legal moves are {legal}")


def _named(text: str) -> list[re.Match[str]]:
    """Return the words of ``text`` that name a square or castle, each in algebraic notation without spaces."""
    text = _BY_WORD.sub(lambda match: _PIECES[match[1].lower()] + (match[2] or "") + match[3], text.translate(_FIGURES))
    text = _FROM_TO.sub(r"\1\2", text)
    return list(_WORD.finditer(_NUMBER.sub("", text.lstrip(_AROUND))))


def _legal(board: chess.Board, word: str) -> str:
    """Return the move that ``word`` names, in UCI notation.

    Raises:
        ValueError: ``word`` names no move that is legal on ``board``.
    """
    move = None
    if match := _SQUARES.fullmatch(word.rstrip("+#!?")):
        piece, start, end, promoted = match.groups()
        move = chess.Move.from_uci(f"{start}{end}{(promoted or '').lower()}") if start != end else None
        on = board.piece_at(chess.parse_square(start))
        is_other = bool(piece) and (on is None or on.symbol().upper() != piece)
        if move is None or is_other or move not in board.legal_moves:
            move = None
    else:
        with contextlib.suppress(ValueError):
            move = board.parse_san(word.rstrip("!?"))
    if not move:
        legal = " ".join(sorted(each.uci() for each in board.legal_moves))
        raise ValueError(f"{word} is not legal in {board.fen()}; the legal moves are {legal}")
    return move.uci()


#: For ``ChatPolicy``: the agent's move, in UCI notation. It also answers the ``Position`` that an opponent gets.
CHESS = PolicyPrompt(request=_request, read=lambda completion, observation: _move(completion.text, observation))

_MOVES = GuessPrompt(request=_guesses_request, read=_move)
#: For ``ChatGuesser``: the moves of both sides.
CHESS_GUESSES = {"policy": _MOVES, "opponent": _MOVES}
