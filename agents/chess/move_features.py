"""Features of legal moves that may make a player choose a move; the input of ``MoveModel``."""

import math
from collections.abc import Mapping

import chess

from spec_envs import CancelToken
from spec_envs.chess.builtin import rank_moves
from spec_envs.chess.engine import EnginePool

#: A number for each feature of a move, by the feature's name.
Features = dict[str, float]

_VALUES = {chess.PAWN: 1, chess.KNIGHT: 3, chess.BISHOP: 3, chess.ROOK: 5, chess.QUEEN: 9, chess.KING: 100}
_PIECES = {chess.KNIGHT: "knight", chess.BISHOP: "bishop", chess.ROOK: "rook", chess.QUEEN: "queen", chess.KING: "king"}
#: More than the legal moves of any position.
_ALL = 256
#: Moves that are worse than the best one by more centipawns are not told apart.
_LOST = 500


def move_features(
    board: chess.Board, stockfish: EnginePool | None = None, cancel: CancelToken | None = None
) -> dict[str, Features]:
    """Return the features of each legal move (UCI).

    The built-in engine ranks the moves, and so does Stockfish at depth 1 if ``stockfish`` is given.

    Args:
        board: The position, with the moves that led to it. It is not changed.
        stockfish: Stockfish engines that also rank the moves.
        cancel: Stops the engines when it is cancelled.

    Raises:
        CallCancelled: ``cancel`` was cancelled.
    """
    token = CancelToken() if cancel is None else cancel
    token.raise_if_cancelled()
    found = _Features(board).of_moves()
    engines = {"builtin": {move.uci(): score for move, score in rank_moves(board, _ALL)}}
    if stockfish is not None:
        lines = stockfish.analyse(board, depth=1, multipv=_ALL, cancel=token)
        engines["stockfish"] = {line.move: line.score for line in lines}
    for engine, scores in engines.items():
        _add_ranking(found, engine, scores)
    return found


def _add_ranking(found: dict[str, Features], engine: str, scores: Mapping[str, int]) -> None:
    """Add the features of an engine's ranking; a move that the engine has not ranked counts as lost."""
    best = max(scores.values(), default=0)
    gaps = {move: min(best - scores[move], _LOST) if move in scores else _LOST for move in found}
    for rank, move in enumerate(sorted(found, key=lambda move: gaps[move])):
        found[move] |= {
            f"{engine}: pawns behind the best": gaps[move] / 100,
            f"{engine}: log of the pawns behind": math.log1p(gaps[move] / 20),
            f"{engine}: log of the rank": math.log1p(rank),
            f"{engine}: first": float(rank == 0),
        }


class _Features:
    """The features that need no engine, for the moves of one position."""

    def __init__(self, board: chess.Board) -> None:
        self._board = board.copy(stack=2)
        self._us, self._them = board.turn, not board.turn
        stack = self._board.move_stack
        self._their_last = stack[-1] if stack else None
        self._our_last = stack[-2] if len(stack) > 1 else None
        self._they_took = False
        if self._their_last is not None:
            self._board.pop()
            self._they_took = self._board.is_capture(self._their_last)
            self._board.push(self._their_last)

    def of_moves(self) -> dict[str, Features]:
        """Return the features of each legal move."""
        return {move.uci(): self._of(move) for move in list(self._board.legal_moves)}

    def _of(self, move: chess.Move) -> Features:
        kind = self._board.piece_type_at(move.from_square) or 0
        parts = (self._captures(move, kind), self._manner(move, kind), self._place(move, kind), self._after(move, kind))
        return {name: float(value) for part in parts for name, value in part.items()}

    def _captures(self, move: chess.Move, kind: int) -> Features:
        board, last = self._board, self._their_last
        takes = board.is_capture(move)
        taken = _VALUES[board.piece_type_at(move.to_square) or chess.PAWN] if takes else 0  # en passant: a pawn
        just_moved = takes and last is not None and move.to_square == last.to_square
        return {
            "takes": takes,
            "value taken": taken,
            "takes back": just_moved and self._they_took,
            "takes what just moved": just_moved,
            "value taken beyond its own": max(taken - _VALUES[kind], 0),
        }

    def _manner(self, move: chess.Move, kind: int) -> Features:
        last = self._our_last
        from_home = chess.square_rank(move.from_square) == (0 if self._us else 7)
        return {
            "castles": self._board.is_castling(move),
            "promotes to a queen": move.promotion == chess.QUEEN,
            "promotes to less": move.promotion not in (None, chess.QUEEN),
            **{name: kind == each for each, name in _PIECES.items()},
            "develops": kind in (chess.KNIGHT, chess.BISHOP) and from_home,
            "same piece again": last is not None and move.from_square == last.to_square,
            "undoes": last is not None and (move.from_square, move.to_square) == (last.to_square, last.from_square),
            "value threatened": self._danger(move.from_square),
        }

    def _place(self, move: chess.Move, kind: int) -> Features:
        pawn = kind == chess.PAWN
        before, after = (
            chess.square_rank(square) if self._us else 7 - chess.square_rank(square)
            for square in (move.from_square, move.to_square)
        )
        return {
            "towards the centre": _from_centre(move.from_square) - _from_centre(move.to_square),
            "ranks advanced by a piece": 0 if pawn else after - before,
            "pawn moves by one": pawn and after - before == 1,
            "pawn to the centre": pawn and bool(chess.BB_CENTER & chess.BB_SQUARES[move.to_square]),
            "pawn to the rim": pawn and chess.square_file(move.to_square) in (0, 7),
            "rank of the pawn": after if pawn else 0,
        }

    def _after(self, move: chess.Move, kind: int) -> Features:
        board, end = self._board, move.to_square
        board.push(move)
        try:
            value = _VALUES[move.promotion or kind]
            targets = {
                square: _VALUES[board.piece_type_at(square) or 0]
                for square in board.attacks(end) & board.occupied_co[self._them] & ~board.kings
            }
            return {
                "check": board.is_check(),
                "value hanging": self._danger(end),
                "dearer pieces attacked": sum(target > value for target in targets.values()),
                "undefended pieces attacked": sum(not board.attackers(self._them, square) for square in targets),
            }
        finally:
            board.pop()

    def _danger(self, square: int) -> float:
        """Return about how much we lose if our piece on ``square`` is taken; 0 for the king."""
        board = self._board
        kind = board.piece_type_at(square) or 0
        attackers = board.attackers(self._them, square)
        if not attackers or kind == chess.KING:
            return 0
        if not board.attackers(self._us, square):
            return _VALUES[kind]
        return max(_VALUES[kind] - min(_VALUES[board.piece_type_at(each) or 0] for each in attackers), 0)


def _from_centre(square: int) -> float:
    """Return how far the square is from the middle of the board, in squares."""
    return max(abs(chess.square_file(square) - 3.5), abs(chess.square_rank(square) - 3.5))
