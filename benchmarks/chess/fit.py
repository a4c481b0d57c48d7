"""``spec-envs chess fit-moves``: fits the model of ``MoveModelGuesser`` to the moves of games."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import chess.pgn

from spec_envs.agents.chess.move_model import choices_in, fit
from spec_envs.benchmarks.reports import collected, write_text
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.games import RecordedGame
from spec_envs.errors import InvalidConfiguration

#: The position that a game starts from, and its moves (UCI).
Moves = tuple[str, Sequence[str]]


def run(games: Sequence[Path], out: Path, *, stockfish: bool, l2: float) -> None:
    """Fit a model to all moves of the games in the files, and write it.

    Raises:
        InvalidConfiguration: A file holds no game.
        DependencyNotInstalled: Stockfish is to rank the moves, and is not installed.
    """
    with EnginePool() if stockfish else contextlib.nullcontext() as pool:
        played = [game for file in games for game in _games_in(file)]
        ranked = (list(choices_in(*game, pool)) for game in played)
        choices = [choice for game in collected(ranked, "games", len(played)) for choice in game]
    write_text(json.dumps(dict(fit(choices, l2).weights), indent=1) + "\n", out)


def _games_in(file: Path) -> Iterator[Moves]:
    if file.suffix.lower() != ".pgn":
        record = RecordedGame.load(file)
        yield record.start_fen, record.moves
        return
    with file.open(encoding="utf-8-sig", errors="replace") as text:
        while (game := chess.pgn.read_game(text)) is not None:
            if game.errors:
                raise InvalidConfiguration(f"{file}: {game.errors[0]}")
            yield game.board().fen(), [move.uci() for move in game.mainline_moves()]
