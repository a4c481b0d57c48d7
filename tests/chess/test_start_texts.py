"""PGN and FEN as people paste them: the moves that stand there, or an error; never another game."""

from __future__ import annotations

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs.chess.start import Start
from spec_envs.errors import InvalidConfiguration

E4_E5 = "e2e4 e7e5"
ITALIAN = "e2e4 e7e5 g1f3 g8f6 f1c4 f8c5 e1g1"
ROOKS = '[FEN "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1"]\n\n'
PAWN = '[FEN "8/P3k3/8/8/8/8/4K3/8 w - - 0 1"]\n\n'


def moves(pgn: str) -> str:
    (game,) = Start.of(claim_draw=False, pgn=pgn).games
    return " ".join(game.moves)


READ = {
    "variations": ("1. e4 (1. d4 d5 (1... Nf6 2. c4)) e5 *", E4_E5),
    "annotations": ("1. e4! $1 e5?! $6 *", E4_E5),
    "a comment with moves": ("1. e4 {1... d5 (2. d4 1-0) was better} e5 *", E4_E5),
    "a comment over lines": ("1. e4 {\n[%clk 0:10:00]\n1-0\n} e5 *", E4_E5),
    "clocks and evaluations": ("1. e4 {[%clk 0:10:00]} e5 {[%clk 0:09:58] [%eval 0.3]} *", E4_E5),
    "a comment to the end of the line": ("1. e4 ; better: d4 1-0\n e5 *", E4_E5),
    "a line that is left out": ("1. e4\n% 1-0 {\ne5 *", E4_E5),
    "another result than the tag's": ('[Result "1-0"]\n\n1. e4 e5 0-1', E4_E5),
    "no result": ("1. e4 e5", E4_E5),
    "moves behind the result": ("1. e4 e5 1-0 2. Nf3", E4_E5),
    "two games on a line": ("1. e4 e5 1/2-1/2 1. d4 d5 *", E4_E5),
    "two games": ('[Event "a"]\n\n1. e4 e5 *\n\n[Event "b"]\n\n1. d4 *\n', E4_E5),
    "a blank line between the moves": ("1. e4\n\ne5 *", E4_E5),
    "blank lines and blanks": ('[Event "a"]\n \n\n1. e4\n  \n\n1... e5\n\n*', E4_E5),
    "two games without tags": ("1. e4 e5\n\n1. d4 d5", E4_E5),
    "a comment with a blank line": ("{ A game\n\n1. d4 d5 }\n\n1. e4 { A\n\n1. d4 } e5 *", E4_E5),
    "the next game's tags": ('1. e4 e5\n\n[Event "b"]\n\n1. d4 *', E4_E5),
    "a mark of byte order": ('\ufeff[Event "x"]\n\n1. e4 e5 *', E4_E5),
    "line ends of DOS": ('[Event "x"]\r\n\r\n1. e4\r\ne5 *\r\n', E4_E5),
    "line ends of old Macs": ('[Event "x"]\r\r1. e4\re5 *\r', E4_E5),
    "hard spaces": ("1.\u00a0e4\u2009e5 *", E4_E5),
    "moves in UCI": ("1. e2e4 e7e5 *", E4_E5),
    "long notation": ("1. e2-e4 e7-e5 *", E4_E5),
    "no numbers": ("e4 e5", E4_E5),
    "wrong numbers": ("7. e4 e5 *", E4_E5),
    "no brackets around the words": ("1. e4 e5 White resigns", E4_E5),
    "castling": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. O-O *", ITALIAN),
    "castling with zeros": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. 0-0 *", ITALIAN),
    "castling in small letters": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. o-o *", ITALIAN),
    "castling with a dash": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. O–O *", ITALIAN),
    "castling with a minus": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. O\u2212O *", ITALIAN),
    "long castling with dashes": (f"{ROOKS}1. o–o–o *", "e1c1"),
    "a start without SetUp": (f"{ROOKS}1. O-O *", "e1g1"),
    "a start of a usual variant": (f'[Variant "From Position"]\n{ROOKS}1. O-O *', "e1g1"),
    "a promotion": (f"{PAWN}1. a8=Q *", "a7a8q"),
    "a promotion in small letters": (f"{PAWN}1. a8q *", "a7a8q"),
    "a promotion in brackets": (f"{PAWN}1. a8(Q) *", "a7a8q"),
    "a promotion behind a stroke": (f"{PAWN}1. a8/R *", "a7a8r"),
    "takes with a colon": ("1. e4 d5 2. e:d5 *", "e2e4 d7d5 e4d5"),
    "takes with a cross": ("1. e4 d5 2. e×d5 *", "e2e4 d7d5 e4d5"),
    "en passant": ("1. e4 c5 2. e5 d5 3. exd6e.p. *", "e2e4 c7c5 e4e5 d7d5 e5d6"),
    "castling in Cyrillic": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. О-О *", ITALIAN),
    "a result with a dash": ("1. e4 e5 1–0 2. Nf3", E4_E5),
    "a result of halves": ("1. e4 e5 ½–½ 2. Nf3", E4_E5),
    "characters that are not seen": ("\u200e1. e4\u200b e5\u00ad *", E4_E5),
    "all on one line": ('[Event "a"] [Site "]"] 1. e4 e5 *', E4_E5),
    "tags in small letters": ('[fen "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1"]\n\n1. O-O *', "e1g1"),
    "words": ("1. e4 e5 White should be better here", E4_E5),
    "words of old books": ("1. e4 ch e5 novelty *", E4_E5),
    "marks of ChessBase": ("1. e4 N RR D 1... e5 *", E4_E5),
    "a novelty": ("1. e4 e5 2. Nf3 N Nf6 3. Bc4 Bc5 4. O-O *", ITALIAN),
    "the end of a file of DOS": ("1. e4 e5\x1a", E4_E5),
    "a tag with a quotation": ('[Event "say \\"hi\\" ] (1-0 {"]\n\n1. e4 e5 *', E4_E5),
}


@pytest.mark.parametrize(("pgn", "played"), READ.values(), ids=READ)
def test_the_moves_that_stand_there_are_played(pgn, played):
    assert moves(pgn) == played


REFUSED = {
    "an illegal move in the middle": ("1. e4 e5 2. Ke3 Nc6 *", "Ke3"),
    "a move that may mean two": ("1. Nf3 a6 2. d3 a5 3. Nd2 *", "ambiguous san: 'Nd2'"),
    "a result in a variation": ("1. e4 (1. d4 d5 1-0) e5 *", "1-0"),
    "a null move": ("1. e4 -- 2. d4 *", "null move"),
    "a null move of ChessBase": ("1. e4 Z0 *", "null move"),
    "a comment that is not closed": ("1. e4 { never closed 1... e5", "comment is not closed: '{ never closed"),
    "a comment that hides a game": ('1. e4 { oops *\n\n[Event "b"]\n\n1. d4 *', "comment is not closed"),
    "a variation that is not closed": ("1. e4 (1. d4 d5 1... e5", "variation is not closed"),
    "a comment in a comment": ("1. e4 {best {by test} e5} e5 *", "e5}"),
    "a move of the other side": ("1... e5", "e5"),
    "a missing move": ("1. e4 2. d4 *", "d4"),
    "a promotion to nothing": (f"{PAWN}1. a8 *", "a8"),
    "castling without a dash": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. OO *", "'OO' is not a move"),
    "castling without a dash, in zeros": ("1. e4 e5 2. Nf3 Nf6 3. Bc4 Bc5 4. 00 *", "'00' is not a move"),
    "a pawn that takes, in short": ("1. e4 d5 2. ed *", "'ed' is not a move"),
    "the same with a cross": ("1. e4 d5 2. exd! *", "'exd!' is not a move"),
    "a variant in small letters": ('[variant "Crazyhouse"]\n\n1. e4 *', "of a game of Crazyhouse"),
    "letters and figures": ("1. P-K4 P-K4 *", "no game"),
    "a letter apart": ("1. e4 e5 2. N f3 *", "'N' stands before 'f3'"),
    "a german letter apart": ("1. e4 e5 2. S f3 *", "'S' stands before 'f3'"),
    "a small bishop": ("1. e4 e5 2. Bc4 b6 3. bb3 *", "'bb3' is not a move"),
    "castling in words": ("1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. castles *", "'castles' is not a move"),
    "a pawn that takes, with a colon": ("1. e4 d5 2. ed: *", "'ed:' is not a move"),
    "a move in a sentence": ("1. e4 e5 with Be2 to follow", "'with' stands before 'Be2', outside a comment"),
    "german letters": ("1. e4 e5 2. Sf3 *", "Sf3"),
    "russian letters": ("1. e4 e5 2. Кf3 *", "Кf3"),
    "capital letters": ("1. e4 E5 2. Nf3 *", "E5"),
    "text of a page": ("1. e4&nbsp;e5 *", "nbsp"),
    "Chess960": (
        '[Variant "Chess960"]\n[FEN "bqnb1rkr/8/8/8/8/8/8/BQNB1RKR w HFhf - 2 9"]\n\n9. O-O *',
        "of Chess960;",
    ),
    "Chess960 by its castling": ('[FEN "bqnb1rkr/pppppppp/8/8/8/8/8/BQNB1RKR w HFhf - 2 9"]\n\n9. Nd3 *', "Chess960"),
    "another game": ('[Variant "Crazyhouse"]\n\n1. e4 d5 2. exd5 Qxd5 3. P@e4 *', "of a game of Crazyhouse"),
    "an unknown game": ('[Variant "Foo"]\n\n1. e4 *', "unsupported variant: Foo"),
    "a start that is none": ('[FEN "foo"]\n\n1. e4 *', "start position"),
    "a game that is over": ("1. f3 e5 2. g4 Qh4# 0-1", "CHECKMATE"),
    "nothing": (" \n", "no game"),
    "tags alone": ('[Event "x"]\n\n*', "no game"),
    "an address": ("https://lichess.org/abc", "no game"),
}


@pytest.mark.parametrize(("pgn", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_played_is_refused_by_name(pgn, message):
    with pytest.raises(InvalidConfiguration) as caught:
        moves(pgn)
    assert message in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["{c}", "{1-0 (}", "$1", "{[%clk 0:01]}", ";x)\n", "\r\n", "3.", "..."]), max_size=3),
        min_size=5,
        max_size=5,
    ),
    st.integers(0, 4),
)
def test_what_stands_between_the_moves_changes_nothing(between, plies):
    words = ["e4", *"e5 Nf3 Nc6 Bb5".split()[:plies], "*"]
    text = "".join(f"{word} {' '.join(each)} " for word, each in zip(words, [*between, []], strict=False))
    assert moves(text) == " ".join("e2e4 e7e5 g1f3 b8c6 f1b5".split()[: plies + 1])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([*'{}()[];%*\n \r"', "1.", "e4", "e5", "Nf3", "O-O", "o–o", "1-0", "--", "[FEN ", "½", "\0"])
    ).map("".join)
)
def test_any_text_is_a_legal_game_or_is_refused(text):
    for way in ("pgn", "fen"):
        try:
            (game,) = Start.of(claim_draw=False, **{way: text}).games
        except InvalidConfiguration as error:
            assert str(error)
            continue
        board = chess.Board(game.start_fen)
        for move in game.moves:
            board.push_uci(move)  # raises if it is illegal
        assert board.fen() == game.board.fen()


@pytest.mark.parametrize("fen", ["\ufeff{}", "  {}\r\n", "{}", "\t{}"])
def test_a_fen_with_what_files_have_around_it(fen):
    (game,) = Start.of(claim_draw=False, fen=fen.format("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1")).games
    assert game.board.fen() == "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1"
