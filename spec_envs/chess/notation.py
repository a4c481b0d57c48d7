"""Reads moves as people and models write them, with figurines, arrows, words and annotations, as legal moves."""

import re
import unicodedata

import chess

_PIECES = {"king": "K", "queen": "Q", "rook": "R", "bishop": "B", "knight": "N", "pawn": ""}
#: For ``str.translate``: the signs of the pieces to the letters of SAN.
FIGURINES = str.maketrans(dict(zip("♔♕♖♗♘♙♚♛♜♝♞♟", ["K", "Q", "R", "B", "N", ""] * 2, strict=True)))
_SIGNS = str.maketrans({"×": "x", "\ufe0e": "", "\ufe0f": "", "\u200b": "", **dict.fromkeys("‐‑‒–—−", "-")})
_SQUARE = "[a-h][1-8]"
_WORD = "|".join(_PIECES)
# "g1 -> f3", "from g1 to f3", "Ng1-f3"
_FROM_TO = re.compile(
    rf"(?:\bfrom )?(?<!{_SQUARE})({_SQUARE})(?: ?(?:-+|[-=]+>|[→➔⇒➝➞]) ?| to )({_SQUARE})(?!{_SQUARE})"
)
# "Knight to f3", "knight g1 takes f3", "the pawn on e2 moves to e4"
_IN_WORDS = re.compile(
    rf"\b({_WORD})(?: (?:on |from |at )?({_SQUARE}))?(?: moves| goes| jumps)?( takes(?: on)?| captures(?: on)?| x)?"
    rf"(?: to)? ?({_SQUARE})\b",
    re.IGNORECASE,
)
_PROMOTION = re.compile(rf"(?<=[a-h][18]) ?(?:=|/|\(|=\(| promotes to | promoting to )? ?({_WORD}|[qrbn])\b\)?", re.I)
_CASTLES = (
    (re.compile(r"\b(?:castl(?:e|es|ing) (?:queen ?side|long)|(?:queen ?side|long) castl(?:e|ing))\b", re.I), "O-O-O"),
    (re.compile(r"\b(?:castl(?:e|es|ing) (?:king ?side|short)|(?:king ?side|short) castl(?:e|ing))\b", re.I), "O-O"),
    (re.compile(r"(?<!\w)[O0o]-[O0o]-[O0o](?!\w)"), "O-O-O"),
    (re.compile(r"(?<!\w)[O0o]-[O0o](?![\w-])"), "O-O"),
)
_FULL = re.compile(rf"([KQRBNP]?)({_SQUARE})[x:-]?({_SQUARE})(?:=?([qrbnQRBN]))?")
_SHORT = re.compile(rf"[KQRBN]?[a-h]?[1-8]?[x:-]?{_SQUARE}(?:=?[QRBN])?|O-O(?:-O)?")
#: What looks like a move, also one that does not exist or has the letter of another language.
_LOOKS = re.compile(r"(?:[^\W\d_]?[a-i]?\d?[x:-]?[a-i]\d|[^\W\d_]?[a-i]\d[x:-]?[a-i]\d)(?:=?[^\W\d_])?|O-O(?:-O)?")
#: A possible move in a text: everything between blanks, brackets and quotation marks.
TOKEN = re.compile(r"[^\s,;/()\[\]{}<>|*_`'\"“”‘’«»‹›「」『』【】$]+")
#: Commands of LaTeX around a move, the innermost first.
_LATEX = re.compile(r"\\(?:boxed|fbox|text\w*|math\w+)\s*\{([^{}\\]*)\}|\\[()\[\]]")
#: What people write before a move.
_BEFORE = re.compile(
    r"^\W*(?:(?:i|my) )?(?:(?:move|play|choose|pick)(?: is)?\b\W*)?(?:the )?(?:\d+\s*(?:\.+|…|\))\s*)?", re.IGNORECASE
)
_ANNOTATION = re.compile(r"(?:[!?+#†‡.:]|e\.p)+$")


def plain(text: str) -> str:
    """``text`` with its moves in the letters and signs of SAN and UCI, where they can be recognised."""
    text = unicodedata.normalize("NFKC", text.translate(FIGURINES)).translate(_SIGNS)
    for _ in range(2 if "\\" in text else 0):
        text = _LATEX.sub(lambda found: found[1] or " ", text)
    text = _FROM_TO.sub(r"\1\2", text)
    text = _IN_WORDS.sub(_spelled, text)
    text = _PROMOTION.sub(lambda found: "=" + _letter(found[1]), text)
    for written, sign in _CASTLES:
        text = written.sub(sign, text)
    return text


def move_in(board: chess.Board, token: str) -> str | None:
    """The legal move, in UCI notation, that ``token`` is in SAN, in long algebraic or in UCI notation; or ``None``."""
    token = _bare(token)
    try:
        if full := _FULL.fullmatch(token):
            letter, start, end, promotion = full.groups()
            move = board.parse_uci(start + end + (promotion or "").lower())
            kind = board.piece_type_at(move.from_square) or 0
            return move.uci() if letter in ("", chess.piece_symbol(kind).upper()) else None
        # "bc4" may be the bishop or the pawn, "bb4" the bishop.
        if _SHORT.fullmatch(token) and not re.match("b[a-c]", token):
            return board.parse_san(token.replace(":", "x")).uci()
    except ValueError:
        pass
    return None


def only_move(board: chess.Board, text: str) -> str | None:
    """The legal move (in UCI) that ``text`` names; ``None`` if the text says more than this, or may mean two moves."""
    tokens = TOKEN.findall(_BEFORE.sub("", plain(text)))
    if len(tokens) != 1:
        return None
    token = _bare(tokens[0])
    readings = {move_in(board, token)}
    if re.match("b[a-c]", token):  # of the bishop or of the pawn
        pawn = token if "x" in token else f"b{token[1:]}"
        for each in (f"B{token[1:]}", pawn):
            try:
                readings.add(board.parse_san(each).uci())
            except ValueError:
                continue
    readings.discard(None)
    return readings.pop() if len(readings) == 1 else None


def looks_like_move(token: str) -> bool:
    """Whether ``token`` looks like a move, also if it is no move."""
    return _LOOKS.fullmatch(_bare(token)) is not None


def _bare(token: str) -> str:
    token = _ANNOTATION.sub("", token)
    return token.lower() if re.fullmatch("(?:[A-H][1-8]){2}[QRBN]?", token) else token


def _spelled(found: re.Match[str]) -> str:
    word, start, takes, end = found.groups()
    return _PIECES[word.lower()] + (start or "") + ("x" if takes else "") + end


def _letter(piece: str) -> str:
    return _PIECES.get(piece.lower(), piece.upper())
