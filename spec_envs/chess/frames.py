"""A position as observations of planes show it: 13 layers of 64 squares, 8 bytes for a layer."""

import struct

import chess

_LAYERS = struct.Struct("<13Q")
#: Bytes of the six layers of one side.
_SIDE = 6 * 8


class Frame:
    """A position that up to eight observations show. Its layers are made when they are first needed, and kept.

    Args:
        board: The position; never changed.
        repeated: Whether the position has occurred before.
    """

    __slots__ = ("_layers", "board", "repeated")

    def __init__(self, board: chess.Board, repeated: bool) -> None:
        self.board = board
        self.repeated = repeated
        self._layers: bytes | None = None

    def seen_by(self, color: chess.Color) -> bytes:
        """The layers, the lowest square first: own pawns to king, the other side's pieces, and the repetition."""
        layers = self._layers
        if layers is None:
            layers = self._layers = self._seen_by_white()
        if color == chess.WHITE:
            return layers
        return layers[_SIDE : 2 * _SIDE] + layers[:_SIDE] + layers[2 * _SIDE :]

    def _seen_by_white(self) -> bytes:
        board = self.board
        kinds = (board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings)
        white, black = ([mask & board.occupied_co[side] for mask in kinds] for side in (chess.WHITE, chess.BLACK))
        square = board.ep_square
        if square is not None:
            # The pawn that has just moved two squares is drawn on the first rank of its own side.
            moved, pawn, home = (white, square + 8, 0) if chess.square_rank(square) == 2 else (black, square - 8, 56)
            moved[0] = moved[0] & ~chess.BB_SQUARES[pawn] | chess.BB_SQUARES[home + square % 8]
        return _LAYERS.pack(*white, *black, chess.BB_ALL if self.repeated else 0)
