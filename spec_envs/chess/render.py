"""A game as text for a terminal, as a picture, and as PGN. Nothing here changes a game."""

import importlib
import io
from typing import Any

import chess
import chess.pgn
import chess.svg
import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from spec_envs.chess.game import Game
from spec_envs.chess.position import Position
from spec_envs.extras import install_command, needed

_PICTURE_SIZE = 480  # pixels


def board_as_text(game: Game, color: chess.Color, *, forfeited: bool = False) -> str:
    """A line with the game's state, and the board from the side of ``color`` in Unicode, the last move in brackets.

    ``forfeited``: ``color`` has lost by an illegal move, which is not among the moves of the game.
    """
    board, last = game.board, _last_move(game)
    marked = {last.from_square, last.to_square} if last else set()
    ranks = range(7, -1, -1) if color == chess.WHITE else range(8)
    files = range(8) if color == chess.WHITE else range(7, -1, -1)
    lines = [f"{chess.COLOR_NAMES[color]} forfeits" if forfeited else _headline(game)]
    for rank in ranks:
        cells = []
        for square in (chess.square(file, rank) for file in files):
            piece = board.piece_at(square)
            symbol = piece.unicode_symbol() if piece else "·"
            cells.append(f"[{symbol}]" if square in marked else f" {symbol} ")
        lines.append(f"{rank + 1} {''.join(cells)}".rstrip())
    lines.append("   " + "  ".join(chess.FILE_NAMES[file] for file in files))
    return "\n".join(lines)


def board_in_letters(board: chess.Board, color: chess.Color) -> str:
    """The board from the side of ``color`` in letters, which every terminal can show, with ranks and files."""
    lines = [f"{8 - number} {line}" for number, line in enumerate(str(board).splitlines())]
    files = " ".join(chess.FILE_NAMES)
    if color == chess.BLACK:
        lines = [f"{line[0]} {line[:1:-1]}" for line in reversed(lines)]
        files = files[::-1]
    return "\n".join([*lines, f"  {files}"])


def _headline(game: Game) -> str:
    last = f", last move {game.moves[-1]}" if game.moves else ""
    if game.outcome:
        return f"{game.outcome.result()} {game.outcome.termination.name}{last}"
    check = " (in check)" if game.board.is_check() else ""
    return f"{chess.COLOR_NAMES[game.board.turn]} to move{check}, move {game.board.fullmove_number}{last}"


def board_as_picture(game: Game, color: chess.Color) -> NDArray[np.uint8]:
    """The board from the side of ``color`` as an RGB array, with the last move and a check marked."""
    cairosvg, image = _import_cairosvg()
    board = game.board
    svg = chess.svg.board(
        board,
        orientation=color,
        lastmove=_last_move(game),
        check=board.king(board.turn) if board.is_check() else None,
        size=_PICTURE_SIZE,
    )
    png = cairosvg.svg2png(bytestring=svg.encode())
    with image.open(io.BytesIO(png)) as picture:
        return np.array(picture.convert("RGB"), np.uint8)


def _import_cairosvg() -> tuple[Any, Any]:
    try:
        with needed('render_mode "rgb_array" of SpecChess-v0', "render"):
            return importlib.import_module("cairosvg"), importlib.import_module("PIL.Image")
    except DependencyNotInstalled as error:
        if not isinstance(error.__cause__, OSError):  # how cairocffi says that the shared library is missing
            raise
        raise DependencyNotInstalled(
            'render_mode "rgb_array" of SpecChess-v0 needs the cairo library; on Debian or Ubuntu run: '
            f"apt-get install libcairo2 (and {install_command('render')})"
        ) from error


def game_as_pgn(game: Game, *, white: str, black: str, result: str, termination: str) -> str:
    """The game as PGN, with the tags that the standard requires, but without a date: equal games have equal PGN."""
    record = chess.pgn.Game.from_board(Position(game.start_fen, game.moves).board())
    headers = record.headers
    headers["Event"] = "SpecChess-v0"
    headers["White"], headers["Black"] = white, black
    headers["Result"] = result
    headers["Termination"] = termination
    return str(record)


def _last_move(game: Game) -> chess.Move | None:
    return chess.Move.from_uci(game.moves[-1]) if game.moves else None
