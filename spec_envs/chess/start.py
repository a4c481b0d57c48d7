"""The start of a game: a FEN, the end of a PGN's main line, a named opening, or the usual position."""

import dataclasses
import functools
import io
import re
from types import MappingProxyType
from typing import Self

import chess
import chess.pgn
import numpy as np

from spec_envs.chess.game import Game
from spec_envs.chess.notation import FIGURINES
from spec_envs.errors import InvalidConfiguration

#: Moves in UCI notation from the usual start position, by name.
OPENINGS = MappingProxyType(
    {
        "benoni": "d2d4 g8f6 c2c4 c7c5 d4d5",
        "caro-kann": "e2e4 c7c6 d2d4 d7d5",
        "catalan": "d2d4 g8f6 c2c4 e7e6 g2g3",
        "dutch": "d2d4 f7f5",
        "english": "c2c4 e7e5",
        "four-knights": "e2e4 e7e5 g1f3 b8c6 b1c3 g8f6",
        "french": "e2e4 e7e6 d2d4 d7d5",
        "grunfeld": "d2d4 g8f6 c2c4 g7g6 b1c3 d7d5",
        "italian": "e2e4 e7e5 g1f3 b8c6 f1c4",
        "kings-gambit": "e2e4 e7e5 f2f4",
        "kings-indian": "d2d4 g8f6 c2c4 g7g6 b1c3 f8g7",
        "london": "d2d4 d7d5 g1f3 g8f6 c1f4",
        "nimzo-indian": "d2d4 g8f6 c2c4 e7e6 b1c3 f8b4",
        "petrov": "e2e4 e7e5 g1f3 g8f6",
        "pirc": "e2e4 d7d6 d2d4 g8f6 b1c3 g7g6",
        "queens-gambit-accepted": "d2d4 d7d5 c2c4 d5c4",
        "queens-gambit-declined": "d2d4 d7d5 c2c4 e7e6",
        "queens-indian": "d2d4 g8f6 c2c4 e7e6 g1f3 b7b6",
        "reti": "g1f3 d7d5 c2c4",
        "ruy-lopez": "e2e4 e7e5 g1f3 b8c6 f1b5",
        "scandinavian": "e2e4 d7d5",
        "scotch": "e2e4 e7e5 g1f3 b8c6 d2d4",
        "sicilian": "e2e4 c7c5",
        "sicilian-najdorf": "e2e4 c7c5 g1f3 d7d6 d2d4 c5d4 f3d4 g8f6 b1c3 a7a6",
        "slav": "d2d4 d7d5 c2c4 c7c6",
        "vienna": "e2e4 e7e5 b1c3",
    }
)


#: The names under which ``ChessEnv`` and its ``reset`` take a start position.
START_OPTIONS = ("fen", "pgn", "opening")
#: The longest game has 8,849 moves; beyond any doubt, and short enough for the space of observations.
_MAX_MOVES = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Start positions that have been checked; each episode draws one of ``games``.

    A game from a PGN or an opening begins at the start of that PGN or opening, whose moves count as played: they are
    part of the history, and of repetitions.
    """

    games: tuple[Game, ...]

    @classmethod
    def of(cls, *, claim_draw: bool, **ways: str | None) -> Self:
        """The start that ``fen``, ``pgn`` or ``opening`` describes; the usual position if none is given.

        Raises:
            InvalidConfiguration: More than one start is given; or the start cannot be read, is not a legal position, or
                is a position in which the game is already over.
        """
        given = {way: text for way, text in ways.items() if text is not None}
        if len(given) > 1:
            raise InvalidConfiguration(f"give one start position, not {' and '.join(given)}")
        for way, text in given.items():
            if not isinstance(text, str):
                raise InvalidConfiguration(f"{way} must be a string, not {text!r}")
        if given.get("opening") == "random":
            return cls(_all_openings(claim_draw))
        game = Game.at(chess.Board(), claim_draw=claim_draw)
        if "fen" in given:
            game = Game.at(_read_fen(given["fen"]), claim_draw=claim_draw)
        elif "pgn" in given:
            game = _read_pgn(given["pgn"], claim_draw)
        elif "opening" in given:
            game = _play(game, _moves_of(given["opening"]))
        if game.outcome is not None:
            name = game.outcome.termination.name
            raise InvalidConfiguration(f"the game is over at its start position {game.board.fen()}: {name}")
        return cls((game,))

    def draw(self, rng: np.random.Generator) -> Game:
        """The game with which an episode starts."""
        return self.games[0 if len(self.games) == 1 else int(rng.integers(len(self.games)))]


@functools.lru_cache(maxsize=64)
def first_moves(start: Start, color: chess.Color) -> tuple[str, ...]:
    """The moves that are legal at the first turn of ``color``, whichever start is drawn and whatever was played."""
    common: set[str] | None = None
    for game in start.games:
        firsts = [game] if game.board.turn == color else [game.after(uci) for uci in game.legal_moves]
        for first in firsts:
            if not first.outcome:
                common = set(first.legal_moves) if common is None else common & set(first.legal_moves)
    return tuple(sorted(common or ()))


def _play(game: Game, moves: list[str]) -> Game:
    for uci in moves:
        game = game.after(uci)
    return game


@functools.cache
def _all_openings(claim_draw: bool) -> tuple[Game, ...]:
    start = Game.at(chess.Board(), claim_draw=claim_draw)
    return tuple(_play(start, OPENINGS[name].split()) for name in sorted(OPENINGS))


def _moves_of(opening: str) -> list[str]:
    try:
        return OPENINGS[opening].split()
    except KeyError:
        known = ", ".join(sorted(OPENINGS))
        raise InvalidConfiguration(f"unknown opening {opening!r}; known are random, {known}") from None


def _read_fen(fen: str) -> chess.Board:
    try:
        board = chess.Board(fen.removeprefix("\ufeff"))
    except ValueError as error:
        raise InvalidConfiguration(f"cannot read the FEN {fen!r}: {error}") from None
    if board.fullmove_number > _MAX_MOVES:
        raise InvalidConfiguration(f"the FEN {fen[:120]!r} counts more moves than a game can have")
    if not board.is_valid():
        raise InvalidConfiguration(f"the FEN {fen!r} is not a legal chess position: {board.status()!r}")
    return board


class _QuietBuilder(chess.pgn.GameBuilder[chess.pgn.Game]):
    """Keeps errors; the builder of python-chess also writes them to the log."""

    def handle_error(self, error: Exception) -> None:
        self.game.errors.append(error)


#: What a PGN holds besides moves: tags, comments, numbers of moves, annotations, brackets of variations, the result.
_BESIDES = re.compile(
    r"^\s*\[[^\n]*$|\{[^}]*(?:\}|$)|;[^\n]*|^%[^\n]*|(?<![\w-])\d+\s*\.+|\$\d+|[()]|1-0|0-1|1/2-1/2", re.MULTILINE
)
_MOVE = re.compile(
    r"(?:[KQRBNP]?[a-h]?[1-8]?[-x:]?[a-h][1-8](?:=?\(?[QRBNqrbn]\)?)?|[O0o]-[O0o](?:-[O0o])?|--|Z0|@@@@)[-+#=!?/*]*"
)


#: What a game's end, and what is not closed, is seen by: tags, comments, lines that are left out, brackets, the result.
_STRUCTURE = re.compile(
    r"(?P<blank>\n[ \t]*\n\s*)|^\s*\[[^\n]*$|\{[^}]*(?P<closed>\}?)|;[^\n]*|^%[^\n]*|(?P<bracket>[()])"
    r"|(?<![\w/-])(?P<result>1-0|0-1|1/2-1/2|½-½|\*)(?![\w/-])",
    re.MULTILINE,
)
#: The first move of another game, whose tags were left out.
_ANEW = re.compile(r"1\s*\.(?!\s*\.)")
#: For ``str.translate``: signs that stand for others, and characters that are not seen.
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "×": "x",
        **dict.fromkeys("\x1a\xad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", ""),
    }
)
_O = "[oO0\u041e\u043e\u039f\u03bf]"  # also those of Cyrillic and Greek
_CASTLING = re.compile(rf"(?<![\w-]){_O}-{_O}(?:-{_O})?(?![\w-])")
#: Takes and promotions in other signs, and what is written behind a move.
_WRITTEN = (
    (re.compile(r"(?<=[a-hKQRBN1-8]):(?=[a-h][1-8])"), "x"),
    (re.compile(r"(?<=[a-h][18])(?:/([QRBN])|=?\(([QRBN])\))"), r"=\1\2"),
    (re.compile(r"(?<=[a-h][36])e\.?p\b\.?"), ""),
)
_TAG = re.compile(r'\s*\[\s*(\w+)\s+("(?:[^"\\\n]|\\.)*+")\s*\]')
_TAGS = {name.lower(): name for name in ("FEN", "SetUp", "Variant")}
#: Moves in short, such as "ed" and "OO", which would be skipped as words.
_IN_SHORT = re.compile(
    r"(?:[a-h][x:][a-h]|ab|ba|bc|cb|cd|dc|de|ed|ef|fe|fg|gf|gh|hg|[oO0]{2,3}|(?i:castl\w+))[-+#=!?:]*|bb[1-8][-+#=!?]*"
)
#: A word right before a move, without a number between: it may say that the move is not played.
_WORD = re.compile(r"(?!(?:ch|check|dis|dbl|mate|ep|novelty)\b)[^\W\d_]*[a-z][^\W\d_]+[,:]?")


def _first_game(pgn: str) -> str:
    """Return ``pgn`` up to the result of its first game, with line ends and castling as python-chess reads them.

    Raises:
        InvalidConfiguration: A comment or a variation is not closed, so that it may hide moves.
    """
    pgn = _in_lines(pgn.replace("\r\n", "\n").replace("\r", "\n").translate(FIGURINES | _SIGNS))
    depth = 0
    for found in _STRUCTURE.finditer(pgn):
        if found["closed"] == "":
            raise InvalidConfiguration(f"cannot read the PGN: a comment is not closed: {found[0][:60]!r}")
        if found["bracket"]:
            depth = max(0, depth + (1 if found["bracket"] == "(" else -1))
        if found["result"] and not depth:
            pgn = pgn[: found.end()]
            break
        if found["blank"] and not depth and _ANEW.match(pgn, found.end()):
            if _MOVE.search(_BESIDES.sub(" ", pgn[: found.start()])):
                pgn = pgn[: found.start()]
                break
    if depth:
        raise InvalidConfiguration("cannot read the PGN: a variation is not closed")
    pgn = re.sub(r"\n[ \t]*(?=\n\s*[^\s\[])", "", pgn)  # a game does not end at a blank line
    for pattern, sign in _WRITTEN:
        pgn = pattern.sub(sign, pgn)
    return _CASTLING.sub(lambda found: "O-O-O" if len(found[0]) == 5 else "O-O", pgn)


def _in_lines(pgn: str) -> str:
    """Return ``pgn`` with each of its first tags on a line of its own, by the name that python-chess knows."""
    tags, end = [], 0
    while tag := _TAG.match(pgn, end):
        tags.append(f"[{_TAGS.get(tag[1].lower(), tag[1])} {tag[2]}]\n")
        end = tag.end()
    return "".join(tags) + ("\n" if tags else "") + pgn[end:]


def _read_pgn(pgn: str, claim_draw: bool) -> Game:
    pgn = _first_game(pgn)
    lines = io.StringIO(pgn)
    record = chess.pgn.read_game(lines, Visitor=_QuietBuilder)
    if record is None or not (record.variations or record.errors or "FEN" in record.headers):
        raise InvalidConfiguration("the PGN holds no game: expected moves, or a FEN header")
    variant = record.headers.get("Variant")
    try:
        board = record.board()
    except ValueError as error:
        raise InvalidConfiguration(f"cannot set up the PGN's start position: {error}") from None
    if board.uci_variant != "chess" or board.chess960:
        what = variant or "Chess960 (its castling rights need it)"
        raise InvalidConfiguration(f"the PGN is of a game of {what}; only usual chess is played here")
    before = ""
    for word in _BESIDES.sub(lambda found: " . " if found[0].endswith(".") else " ", pgn[: lines.tell()]).split():
        # Of a word that is no move, python-chess may read the part that it knows.
        is_cut = re.search(r"[^\W\d_]\d", word) and not _MOVE.fullmatch(word)
        if is_cut or _IN_SHORT.fullmatch(word):
            raise InvalidConfiguration(
                f"cannot read the PGN: {word[:40]!r} is not a move with the letters K, Q, R, B, N, such as Nf3"
            )
        is_apart = before.isalpha() and len(before) == 1 and word[0] in "abcdefghx"  # the letter of a piece
        if _MOVE.fullmatch(word) and (is_apart or _WORD.fullmatch(before)):
            raise InvalidConfiguration(
                f"cannot read the PGN: {before[:40]!r} stands before {word!r}, outside a comment"
            )
        before = word
    if record.errors:
        raise InvalidConfiguration(f"cannot read the PGN: {record.errors[0]}")
    game = Game.at(_read_fen(board.fen()), claim_draw=claim_draw)
    moves = list(record.mainline_moves())
    if not all(moves):  # "--" and "Z0", in annotations
        raise InvalidConfiguration("the PGN's main line has a null move, which cannot be played")
    return _play(game, [move.uci() for move in moves])
