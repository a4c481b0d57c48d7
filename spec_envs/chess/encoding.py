"""Moves and positions as arrays: AlphaZero's 8x8x73 moves and 8x8x111 planes, as in PettingZoo's ``chess_v6``.

Moves and planes are those that the player sees: for black, ranks are counted from the other end. An agent that was
trained in ``chess_v6`` can play in ``SpecChess-v0``, and the other way round.
"""

import functools
import struct

import chess
import numpy as np
from numpy.typing import NDArray

from spec_envs.chess.game import Game

#: Moves from a square: 56 moves of a queen (7 distances in 8 directions), 8 of a knight, and 9 underpromotions.
PLANES_PER_SQUARE = 73
NUM_ACTIONS = 64 * PLANES_PER_SQUARE

PLANES_SHAPE = (8, 8, 111)
_NUM_BYTES = 111 * 8
_AUXILIARY = struct.Struct("<7Q")

_KNIGHT = 56
_UNDERPROMOTION = 64
_UNDERPROMOTIONS = (chess.KNIGHT, chess.BISHOP, chess.ROOK)
_DIRECTIONS = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
_JUMPS = [(dx, dy) for dx in range(-2, 3) for dy in range(-2, 3) if abs(dx) + abs(dy) == 3]
_ALL = chess.BB_ALL


def _first_action(square: chess.Square) -> int:
    # Files come first: the action is (file, rank, plane) flattened.
    return (chess.square_file(square) * 8 + chess.square_rank(square)) * PLANES_PER_SQUARE


def _targets(square: chess.Square) -> list[tuple[int, chess.Square]]:
    """The squares to which a queen or a knight could go from ``square`` on an empty board, each with its plane."""
    steps = [
        (distance * 8 + direction, dx * (distance + 1), dy * (distance + 1))
        for distance in range(7)
        for direction, (dx, dy) in enumerate(_DIRECTIONS)
    ]
    steps += [(_KNIGHT + jump, dx, dy) for jump, (dx, dy) in enumerate(_JUMPS)]
    file, rank = chess.square_file(square), chess.square_rank(square)
    return [
        (plane, chess.square(file + dx, rank + dy))
        for plane, dx, dy in steps
        if 0 <= file + dx < 8 and 0 <= rank + dy < 8
    ]


#: The square that a move starts from, the square that it ends on, and the piece that a pawn becomes.
_Move = tuple[int, int, int | None]


@functools.cache
def _tables() -> tuple[dict[_Move, int], dict[int, _Move]]:
    """Mappings from moves to actions and back, from the player's own side; both leave promotions to queens out."""
    actions: dict[_Move, int] = {}
    for square in chess.SQUARES:
        for plane, target in _targets(square):
            actions[square, target, None] = _first_action(square) + plane
            if chess.square_rank(square) == 6 and chess.square_rank(target) == 7 and plane < _KNIGHT:
                sideways = chess.square_file(target) - chess.square_file(square)
                if abs(sideways) <= 1:
                    for number, piece in enumerate(_UNDERPROMOTIONS):
                        plane = _UNDERPROMOTION + 3 * (sideways + 1) + number
                        actions[square, target, piece] = _first_action(square) + plane
    return actions, {action: move for move, action in actions.items()}


@functools.cache
def _actions_of(turn: chess.Color) -> dict[_Move, int]:
    """The action of each move of the player ``turn``, promotions to queens included."""
    flip = 0 if turn == chess.WHITE else 56
    actions = {(start ^ flip, end ^ flip, piece): action for (start, end, piece), action in _tables()[0].items()}
    return actions | {(start, end, chess.QUEEN): actions[start, end, None] for start, end, _ in actions}


@functools.cache
def possible_moves() -> tuple[str, ...]:
    """Every move that has an action, in UCI notation, as white would make it."""
    return tuple(chess.Move(*move).uci() for move in _tables()[0])


def encode_move(move: chess.Move, turn: chess.Color) -> int:
    """The action (0 to 4671) for ``move`` by the player ``turn``; ``ValueError`` if no piece moves like that."""
    try:
        return _actions_of(turn)[move.from_square, move.to_square, move.promotion]
    except KeyError:
        raise ValueError(f"{move.uci()!r} has no index: no piece moves like that") from None


def decode_action(action: int, board: chess.Board) -> chess.Move:
    """The move that ``action`` stands for, which need not be legal; ``ValueError`` if no move has this action.

    A pawn that reaches the last rank becomes a queen, unless the action is one of the underpromotions.
    """
    try:
        source, target, promotion = _tables()[1][action]
    except KeyError:
        reason = "leads off the board" if 0 <= action < NUM_ACTIONS else f"is not in 0 to {NUM_ACTIONS - 1}"
        raise ValueError(f"action {action} {reason}") from None
    last_rank = chess.square_rank(source) == 6 and chess.square_rank(target) == 7
    flip = 0 if board.turn == chess.WHITE else 56
    if promotion is None and last_rank and board.piece_type_at(source ^ flip) == chess.PAWN:
        promotion = chess.QUEEN
    return chess.Move(source ^ flip, target ^ flip, promotion)


def action_mask(game: Game, color: chess.Color) -> NDArray[np.int8]:
    """A new array with 1 at each legal action of ``color``; all 0 if it is not the turn of ``color``, or at the end."""
    mask = np.zeros(NUM_ACTIONS, np.int8)
    if game.board.turn == color:
        actions = _actions_of(color)
        mask[[actions[move.from_square, move.to_square, move.promotion] for move in game.legal]] = 1
    return mask


def planes(game: Game, color: chess.Color) -> NDArray[np.bool_]:
    """A new array of shape (8, 8, 111): the position and those before it, from the side of ``color``.

    Planes 0 to 6: own castling rights (king's side, queen's side), the opponent's; all ones for black; one square for
    half the half-move clock; all ones. Then 13 planes for each of the last 8 positions, newest first: own pawns,
    knights, bishops, rooks, queens, king, the same of the opponent, and all ones if the position is a repetition. A
    pawn that has just moved two squares is drawn on the first rank of its own side.
    """
    layers = _AUXILIARY.pack(*_auxiliary(game.board, color)) + b"".join([frame.seen_by(color) for frame in game.frames])
    layers += bytes(_NUM_BYTES - len(layers))  # of positions before the first one
    bits = np.unpackbits(np.frombuffer(layers, np.uint8), bitorder="little").reshape(-1, 8, 8)
    # Row 0 of the array is the far side of the board.
    rows = bits[:, ::-1] if color == chess.WHITE else bits
    return np.ascontiguousarray(rows.transpose(1, 2, 0)).view(np.bool_)


def _auxiliary(board: chess.Board, color: chess.Color) -> list[int]:
    corners = [chess.BB_H1, chess.BB_A1, chess.BB_H8, chess.BB_A8]
    if color == chess.BLACK:
        corners = corners[2:] + corners[:2]
    # There are 64 squares to show the clock on, and without claims or from a FEN it can run further.
    clock = min(board.halfmove_clock // 2, 63)
    castling = [_ALL if board.castling_rights & corner else 0 for corner in corners]
    return [*castling, 0 if color == chess.WHITE else _ALL, chess.BB_SQUARES[clock], _ALL]
