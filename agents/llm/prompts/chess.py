"""Prompts for chess: the move of a policy or an opponent, and guesses of both."""

import re
from typing import Any

import chess

from spec_envs.agents.llm.messages import ChatRequest, Completion
from spec_envs.agents.llm.prompts.base import GuessPrompt, Past, PolicyPrompt, best_first, user_message
from spec_envs.chess.notation import TOKEN, looks_like_move, move_in, plain
from spec_envs.chess.position import Position
from spec_envs.json_files import parsed

_SYSTEM = "You are a strong chess player."
_SAID = re.compile(r"\bmove[*_`]*:", re.IGNORECASE)
_MARKS = " \t*_`'\"“”‘’«»‹›「」『』【】$>#-•"
#: What may stand before a move on its line: marks, bullets, and the move's number.
_START = re.compile(rf"^[{re.escape(_MARKS)}(\[]*(?:\d+\s*(?:\.+|…|\))\s*)?[{re.escape(_MARKS)}]*")
_UCI = re.compile(r"[a-h][1-8][a-h][1-8][qrbn]?[.!?:]*")
_SQUARE = re.compile(r"[a-h][1-8][.!?+#:]*")
#: After these words a square is the move of a pawn.
_PLAY = re.compile(r"\b(?:play|plays|playing|choose|pick|prefer|push|advance|choice|is|with|say)\W*$", re.IGNORECASE)
#: How many characters before a square are looked at. A line may hold thousands of squares.
_NEAR = 200
#: After these words a move is one that is not chosen.
_NOT = re.compile(
    r"(?:\b(?:not|never|avoid(?:ing)?|reject(?:ing)?|against|rather than|instead of|except|\w+thing but)|n['’]t)\b"
    r"[^.,;:!?]*$",
    re.IGNORECASE,
)
#: Before these words, too.
_BAD = re.compile(
    r"[^.;\w]*(?:(?:is|was|would be|looks|seems)\s+(?:(?:a|an|too)\s+)*"
    r"(?:bad|weak|wrong|worse|illegal|impossible|mistake|blunder|losing)\b|(?:loses|drops|hangs|fails)\b|no\s*[.!,;])",
    re.IGNORECASE,
)
#: Between a move and another one that is chosen instead.
_BACK = re.compile(r"\b(?:(?:no|oh|but|hmm),? wait|actually|scratch that|correction|on second thought|i mean)\b", re.I)
#: The names under which a JSON object states the move.
_KEYS = ("move", "best_move", "bestmove", "chosen_move", "selected_move", "my_move", "next_move", "uci", "san")
_PIECE = re.compile(r"\b(?:king|queen|rook|bishop|knight)s?\b", re.IGNORECASE)
_WITH_PIECE = re.compile(rf"\W*(?:with|by|using)?\s*(?:the|my|a)?\s*{_PIECE.pattern}", re.IGNORECASE)


def _situation(query: Any) -> str:
    """Return the position in words. The model of ``spec-envs serve-model`` parses these words."""
    position = Position.of(query)
    board = position.board(stack=False)
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
    until = _settled(Position.of(observation).board(stack=False))
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)), until=until)


def _settled(board: chess.Board) -> str:
    """Return a regular expression for a line that states the move, whatever follows: "Move: " and a legal move."""
    moves = "|".join(sorted(move.uci() for move in board.legal_moves))
    return rf"(?im)^[{re.escape(_MARKS)}]*move[{re.escape(_MARKS)}]*:[{re.escape(_MARKS)}]*({moves})(?=[\s.,;:!?()*_`])"


def _guesses_request(query: Any, k: int, past: Past) -> ChatRequest:
    text = f"{_situation(query)}\n\n{best_first(k, 'moves here', 'in UCI notation such as e2e4')}"
    return ChatRequest(messages=({"role": "system", "content": _SYSTEM}, user_message(text)))


def _move(text: str, query: Any) -> str:
    """Return the move that ``text`` chooses.

    That is the move on the first line "Move: …" in UCI, else the move after the last "Move:", else the only legal move
    in the text.

    Raises:
        ValueError: The text names no legal move, or several moves may be meant.
    """
    board = Position.of(query).board()
    if settled := re.search(_settled(board), text):
        return settled[1].lower()
    written = _in_json(text)
    *_, said = [plain(written)] if written is not None else _SAID.split(plain(text))
    lines = [line for line in said.splitlines() if line.strip(_MARKS)] or [""]
    is_stated = written is not None or _SAID.search(plain(text))
    chosen = _stated(board, lines[0]) if is_stated else _named(board, lines)
    if chosen is not None:
        return chosen
    moves = (token for token in reversed(_tokens(said)) if looks_like_move(token))
    wrong = next((token for token in moves if move_in(board, token) is None), None)
    what = f"{wrong} is not legal" if wrong else f"{text[-80:]!r} names no legal move, or more than one,"
    legal = " ".join(sorted(move.uci() for move in board.legal_moves))
    raise ValueError(f"{what} in {board.fen()}; the legal moves are {legal}")


def _in_json(text: str) -> str | None:
    """Return the move that the JSON object in ``text`` states; ``None`` if there is no such object."""
    said = parsed(text[text.find("{") : text.rfind("}") + 1])
    if not isinstance(said, dict):
        return None
    said = {str(key).lower().replace(" ", "_"): value for key, value in said.items()}
    move = next((said[key] for key in _KEYS if key in said), said)
    if isinstance(move, dict):
        said, move = move, f"{move.get('from')}{move.get('to')}"
    promotion = said.get("promotion")
    return move + (promotion if isinstance(promotion, str) else "") if isinstance(move, str) else None


def _stated(board: chess.Board, line: str) -> str | None:
    """The move at the beginning of ``line``, else the only move in it, provided that all moves in it are legal."""
    start = _START.sub("", line)
    first = next(iter(_tokens(start)), "")
    if looks_like_move(first):
        bare = _SQUARE.fullmatch(first) is not None
        rest = start[start.find(first) + len(first) :]
        doubt = bool(_BAD.match(rest) or (bare and _WITH_PIECE.match(rest)))
        if back := _BACK.search(rest):
            doubt = doubt or any(map(looks_like_move, _tokens(rest[back.end() :])))
        return None if doubt else move_in(board, first)
    found = [each for each in TOKEN.finditer(line) if looks_like_move(each[0])]
    doubtful = [_may_be_of_a_piece(line, each) or _is_rejected(line, each) for each in found]
    named = {None if doubt else move_in(board, each[0]) for each, doubt in zip(found, doubtful, strict=True)}
    return named.pop() if len(named) == 1 and not _PIECE.search(line) else None


def _may_be_of_a_piece(line: str, found: re.Match[str]) -> bool:
    """Whether ``found`` is a bare square after a word or letter that may stand for a piece."""
    before = line[max(0, found.start() - _NEAR) : found.start()]
    return bool(_SQUARE.fullmatch(found[0]) and before.strip(_MARKS + ".…") and not _PLAY.search(before))


def _is_rejected(line: str, found: re.Match[str]) -> bool:
    """Whether ``found`` is a move that the text around it says is not chosen."""
    start, end = found.span()
    return bool(_NOT.search(line, max(0, start - _NEAR), start) or _BAD.match(line, end, end + _NEAR))


def _named(board: chess.Board, lines: list[str]) -> str | None:
    """The only legal move in ``lines``, or the only line that is a move, or a move with a remark in brackets."""
    named: set[str | None] = set()
    for line in lines:
        line = _START.sub("", line)
        has_piece = _PIECE.search(line) is not None
        for found in TOKEN.finditer(line):
            token = found[0]
            if not looks_like_move(token) or (_UCI.fullmatch(token) and not move_in(board, token)):
                continue
            if _may_be_of_a_piece(line, found):
                if has_piece or move_in(board, token):  # a piece may go there, or a pawn
                    named.add(None)
            elif _is_rejected(line, found):
                named.add(None)
            else:
                named.add(move_in(board, token))
    if len(named) == 1:
        return named.pop()
    starts = [_START.sub("", line) for line in lines]
    alone = {move_in(board, start.strip(_MARKS)) for start in starts if len(start.split()) == 1} - {None}
    if len(alone) == 1:
        return alone.pop()
    first = next(iter(_tokens(starts[0])), "")
    return move_in(board, first) if starts[0][len(first) :].lstrip(_MARKS).startswith("(") and not alone else None


def _tokens(text: str) -> list[str]:
    return [str(token) for token in TOKEN.findall(text)]


def _read(completion: Completion, observation: Any) -> Any:
    return _move(completion.text, observation)


#: For ``ChatPolicy``: the agent's move, in UCI notation. Also for an opponent, whose query is a ``Position``.
CHESS = PolicyPrompt(request=_request, read=_read)

_MOVES = GuessPrompt(request=_guesses_request, read=_move)
#: For ``ChatGuesser``: the moves of both sides.
CHESS_GUESSES = {"policy": _MOVES, "opponent": _MOVES}
