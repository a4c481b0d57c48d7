"""Moves as people and models write them, and PGN with figurines or national letters: the move meant, or none."""

from __future__ import annotations

import chess
import chess.pgn
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.agents.llm.messages import Completion
from spec_envs.agents.llm.prompts.chess import CHESS
from spec_envs.chess.notation import looks_like_move, move_in, plain
from spec_envs.chess.position import Position
from spec_envs.chess.start import Start
from spec_envs.errors import InvalidConfiguration, SpecEnvsError

START = Position()
#: White may castle to both sides, and promote.
ENDING = Position("4k3/P7/8/8/8/8/8/R3K2R w KQ - 0 1")


def said(text, position=START):
    """The move that an answer of a model is read as; None if it is asked again."""
    try:
        return CHESS.read(Completion(text=text), position)
    except ValueError as error:
        assert "the legal moves are" in str(error)
        return None


KNIGHT = "g1f3"
ANSWERS = [
    *((f"Move: {text}", START, KNIGHT) for text in (
        "g1f3", "Nf3", "Ng1-f3", "Ng1f3", "♘f3", "♞f3", "♘g1-f3", "g1-f3", "g1->f3", "g1 -> f3", "g1→f3", "g1–f3",
        "g1 to f3", "Knight to f3", "knight f3", "Knight from g1 to f3", "the knight on g1 moves to f3", "G1F3", "Nf3!",
        "Nf3!?", "Nf3+", "**Nf3**", "`g1f3`", '"Nf3"', "(Nf3)", "1. Nf3", "1.Nf3", "Nf3, planning e4 next",
        "Nf3 (not e4)", "Nf3; then e4 and d4", "Nf3 - better than e2e4", "Ｎｆ３", "I play Nf3", "\n\nNf3\nthen e2e4",
        "?\nMove: Nf3", "[g1f3]", "Nf3.", b"\\u200bNf3".decode("unicode_escape"),
    )),
    *((f"Move: {text}", START, None) for text in (
        "Sf3", "Cf3", "Кf3", "Pf3", "nf3", "Ng1", "f3 with the knight", "f3 (knight)", "e2e5, or e2e4", "Nf9, else e4",
        "", "I resign", "g1", "e2e2", "Ne4 or e4", "Bf3 or e2e4", "the knight goes somewhere, e4", "--", "0000", "O-O",
    )),
    *((text, ENDING, "e1g1") for text in (
        "Move: O-O", "Move: 0-0", "Move: o-o", "Move: e1g1", "Move: e1-g1", "Move: castle kingside", "Castling short",
        "Move: Kingside castling", "O-O!", "Move: O‑O", "Move: e1h1", "Move: O-O, not O-O-O",
    )),
    *((text, ENDING, "e1c1") for text in (
        "Move: O-O-O", "0-0-0", "Move: castle queenside", "Move: long castling", "Move: e1c1+",
    )),
    *((text, ENDING, "a7a8q") for text in (
        "Move: a8=Q", "Move: a8Q+", "a8(Q)", "a7a8q", "a7-a8=Q#", "Move: a8 = Queen", "a7a8Q", "a8/Q", "♙a8=♕",
        "Move: pawn to a8 promotes to queen", "Move: a8=(Q)",
    )),
    *((text, ENDING, "a7a8n") for text in ("Move: a8=N", "Move: a7a8n", "a8=knight", "Move: a7->a8=♘")),
    *((text, ENDING, None) for text in ("Move: a8", "Move: a7a8", "Move: Kg1", "Move: a8=K", "O-O or O-O-O")),
    ("e2e4 (stronger than d2d4)", START, "e2e4"),
    ("♘f3", START, KNIGHT),
    ("Knight to f3", START, KNIGHT),
    ("g1->f3", START, KNIGHT),
    ("I'll play e4.", START, "e2e4"),
    ("I considered d2d4 and c2c4.\ne2e4", START, "e2e4"),
    ("e2e4 or d2d4", START, None),
    ("The knight belongs on f3.", START, None),
    ("e2e4\nd2d4", START, None),
    *((text, START, KNIGHT) for text in (
        r"\boxed{g1f3}", r"Move: $\boxed{\text{Nf3}}$", r"Move: \(\boxed{\mathrm{Nf3}}\)", "Move: «Nf3»",
        "Move: 【Nf3】",
        '{"move": "Nf3", "reason": "better than e4 and d2d4"}', '{"reason": "d2d4 is weaker", "Best move": "g1f3"}',
        'So:\n```json\n{"move": {"from": "g1", "to": "f3"}}\n```', '{"from": "g1", "to": "f3", "promotion": null}',
    )),
    *((text, START, None) for text in (
        "Don't play e2e4", "Never play e2e4.", "I would not play e4", "Move: not e2e4", "Move: anything but e2e4",
        "Avoid Nf3!", '{"move": ["e2e4", "d2d4"]}', '{"move": "e2e5", "reason": "better than e2e4"}',
        '{"from": 1, "to": 2}',
        "{" * 100_000,
    )),
    ('{"move": "a7a8", "promotion": "n"}', ENDING, "a7a8n"),
    ("Move: e2e4\nOn second thought:\nMove: d2d4", START, "e2e4"),  # a client may have stopped listening
    ("Move: ?\nOn second thought:\nMove: d2d4", START, "d2d4"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "position", "move"), ANSWERS, ids=[repr(answer)[:60] for answer, *_ in ANSWERS])
def test_the_move_that_is_meant_or_none(answer, position, move):
    assert said(answer, position) == move


@pytest.mark.parametrize("fen", ["k7/8/8/1p6/2P5/8/8/K4B2 w - - 0 1", "k7/8/8/3p4/2B5/1P6/8/K7 w - - 0 1"])
def test_a_letter_that_may_be_the_bishop_or_the_pawn_is_asked_again(fen):
    board = chess.Board(fen)
    for move in board.legal_moves:
        token = board.san(move).replace("x", "").lower()
        if token.startswith(("ba", "bc")):
            assert move_in(board, token) is None


#: A position in the middle of a game: a legal start and legal moves, chosen by numbers.
@st.composite
def boards(draw):
    board = chess.Board(
        draw(st.sampled_from((chess.STARTING_FEN, ENDING.start_fen, "8/P6k/8/3pP3/8/8/7p/K7 w - d6 0 1")))
    )
    for pick in draw(st.lists(st.integers(0, 400), max_size=12)):
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        if not moves:
            break
        board.push(moves[pick % len(moves)])
    return board


FORMS = (
    lambda board, move: board.san(move),
    lambda board, move: move.uci(),
    lambda board, move: board.lan(move),
    lambda board, move: board.lan(move).replace("-", "→") if not board.is_castling(move) else board.san(move),
    lambda board, move: board.san(move).replace("O", "0") + "!?",
    lambda board, move: board.san(move).translate(str.maketrans("KQRBN", "♔♕♖♗♘")),
    lambda board, move: f"**{board.san(move)}**",
)


@settings(max_examples=60, deadline=None)
@given(board=boards(), form=st.sampled_from(FORMS), pick=st.integers(0, 400))
def test_every_legal_move_in_every_form_is_that_move(board, form, pick):
    moves = sorted(board.legal_moves, key=chess.Move.uci)
    if moves:
        move = moves[pick % len(moves)]
        assert said(f"Move: {form(board, move)}", Position(board.fen())) == move.uci()


@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=60) | st.text("abcdefgh12345678NBRQKOx=+-#.:>() \n", max_size=40), tell=st.booleans())
def test_any_text_is_a_legal_move_or_asked_again(text, tell):
    move = said(f"Move: {text}" if tell else text)
    assert move is None or chess.Board().is_legal(chess.Move.from_uci(move))
    assert isinstance(looks_like_move(plain(text)), bool)


def start(**ways):
    """The moves of a start position; the error's text if it is refused."""
    try:
        return Start.of(claim_draw=True, **ways).games[0].moves
    except SpecEnvsError as error:
        assert isinstance(error, InvalidConfiguration)
        return str(error)


@pytest.mark.parametrize(
    ("pgn", "moves"),
    [
        ("1. e4 e5 2. ♘f3 *", "e2e4 e7e5 g1f3"),
        ("1. ♙e4 ♟e5 2. ♕h5 ♞c6", "e2e4 e7e5 d1h5 b8c6"),
        ("1.e4 e5 2.Nf3 Nc6 3.Bb5 {Sf3 (x) [y]} (3. Bc4 Bc5 $1) 3... a6 1/2-1/2", "e2e4 e7e5 g1f3 b8c6 f1b5 a7a6"),
        ("1. e4! e5?? 2. Nf3 +/- Nc6 ; Sf3\n3. Bb5 ⩲", "e2e4 e7e5 g1f3 b8c6 f1b5"),
        ("1. e4 {[%clk 0:03:00]} e5 2. Ng1-f3 N", "e2e4 e7e5 g1f3"),
        ("% Sf3\n1. e4", "e2e4"),
        ('[White "Sf3"]\n\n1. e4 1-0', "e2e4"),
        ('1. d4 *\n\n[Event "next"]\n\n1. Sf3 *', "d2d4"),
        ("1. e4 e5 2. Nf3 Nc6 3. Bc4 Bc5 4. 0-0", "e2e4 e7e5 g1f3 b8c6 f1c4 f8c5 e1g1"),
        ("1. e4 c5 2. e5 d5 3. exd6 e.p. *", "e2e4 c7c5 e4e5 d7d5 e5d6"),
        ("1 e4 e5 2 Nf3", "e2e4 e7e5 g1f3"),
    ],
)
def test_pgn_is_read_with_figurines(pgn, moves):
    assert start(pgn=pgn) == tuple(moves.split())


@pytest.mark.parametrize(
    ("pgn", "named"),
    [
        ("1. e4 e5 2. Sf3", "Sf3"),
        ("1. e4 e5 2. Sg1-f3", "Sg1-f3"),
        ("1. e4 e5 2. Cf3", "Cf3"),
        ("1. e4 e5 2. Кf3", "Кf3"),
        ("1. e4 e5 2. Кф3", "Кф3"),
        ("1. e4 e5 2. Dh5", "Dh5"),
        ("1. e4 e5 2. Lc4", "Lc4"),
        ("1. e4 e5 2. Fc4 *", "Fc4"),
        ("1. e4 e5 2. Tg1", "Tg1"),
        ("1. e4 d5 2. exd5 Dxd5", "Dxd5"),
        ("1. e4 e5 2. N♘f3", "NNf3"),
        ("1. e4 e5 2. e4-e9", "e4-e9"),
        ("1. Sf3 d5", "Sf3"),
    ],
)
def test_pgn_with_other_letters_is_refused_with_the_move(pgn, named):
    assert start(pgn=pgn) == f"cannot read the PGN: {named!r} is not a move with the letters K, Q, R, B, N, such as Nf3"


@settings(max_examples=50, deadline=None)
@given(pgn=st.text(max_size=60) | st.text('abcdefgh1234567890NBRQKSO x=+-#.{}()[]"$*\n', max_size=60))
def test_any_pgn_is_a_game_or_refused(pgn):
    assert isinstance(start(pgn=pgn), str | tuple)


@settings(max_examples=50, deadline=None)
@given(fen=st.text(max_size=40) | st.text("kqrbnpKQRBNP12345678/ w-KQkqabcdefgh0", max_size=70))
def test_any_fen_is_a_position_or_refused(fen):
    assert isinstance(start(fen=fen), str | tuple)


@settings(max_examples=30, deadline=None)
@given(board=boards())
def test_every_game_is_read_back_from_its_pgn(board):
    pgn = str(chess.pgn.Game.from_board(board))
    found = start(pgn=pgn)
    if board.is_game_over(claim_draw=True) or not (board.move_stack or board.root().fen() != chess.STARTING_FEN):
        assert isinstance(found, str)
    else:
        assert found == tuple(move.uci() for move in board.move_stack)
