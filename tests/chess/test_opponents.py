import collections
import io

import chess
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import CancelToken, Effect
from spec_envs.chess.notation import only_move
from spec_envs.chess.opponents import (
    BuiltinOpponent,
    HumanOpponent,
    RandomOpponent,
    StockfishOpponent,
    opponent_of,
)
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, HandlerFailed, InvalidConfiguration
from tests.players import needs_stockfish

MATED = Position("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1")
OPENING = Position(moves=("e2e4", "e7e5"))


ENGINES = [
    pytest.param(BuiltinOpponent, id="builtin"),
    pytest.param(RandomOpponent, id="random"),
    pytest.param(lambda: StockfishOpponent(depth=4), id="stockfish", marks=needs_stockfish),
    pytest.param(lambda: StockfishOpponent(nodes=500), id="stockfish by nodes", marks=needs_stockfish),
    pytest.param(lambda: StockfishOpponent(skill=2), id="stockfish by skill", marks=needs_stockfish),
    pytest.param(lambda: StockfishOpponent(elo=1400), id="stockfish by elo", marks=needs_stockfish),
]


@pytest.mark.parametrize("make", ENGINES)
def test_engines_are_pure_functions_of_the_query(make, closing):
    one, two = closing(make()), closing(make())
    assert one.effect is Effect.READ
    board = chess.Board()
    while board.ply() < 12:
        position = Position(moves=tuple(move.uci() for move in board.move_stack), seed=board.ply())
        move = one(position, CancelToken())
        assert move == two(position, CancelToken()) == one(position, CancelToken())
        assert board.is_legal(chess.Move.from_uci(move))
        board.push_uci(move)


@pytest.mark.parametrize(
    "make", [*ENGINES, pytest.param(lambda: HumanOpponent(io.StringIO(), io.StringIO()), id="human")]
)
def test_a_finished_game_is_an_error(make, closing):
    with pytest.raises(InvalidConfiguration, match="no legal move to choose from in 7k/6Q1/6K1"):
        closing(make())(MATED, CancelToken())


@pytest.mark.parametrize("make", ENGINES)
def test_can_be_called_with_the_query_alone(make, closing):
    opponent = closing(make())
    assert opponent(OPENING) == opponent(OPENING, CancelToken())


def test_random_moves_are_uniform_over_seeds():
    opponent = RandomOpponent()
    drawn = collections.Counter(opponent(Position(seed=seed), CancelToken()) for seed in range(4000))
    assert len(drawn) == 20
    # 200 expected of each; five standard deviations.
    assert all(130 < count < 270 for count in drawn.values())
    other = RandomOpponent(seed=1)
    assert [other(Position(seed=seed), CancelToken()) for seed in range(20)] != [
        opponent(Position(seed=seed), CancelToken()) for seed in range(20)
    ]


@needs_stockfish
def test_weaker_stockfish_varies_with_the_seed_and_full_strength_does_not():
    with StockfishOpponent(skill=0) as weak, StockfishOpponent(depth=3) as strong:
        assert len({weak(Position(seed=seed), CancelToken()) for seed in range(12)}) > 1
        assert len({strong(Position(seed=seed), CancelToken()) for seed in range(3)}) == 1


def test_a_cancelled_call_does_no_work():
    token = CancelToken()
    token.cancel()
    with pytest.raises(CallCancelled):
        BuiltinOpponent(depth=50)(Position(), token)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skill": 21}, r"skill must be a number in \[0, 20\], not 21"),
        ({"elo": 5000}, r"elo must be a number in \[1350, 2850\], not 5000"),
        ({"skill": 3, "elo": 1500}, "give skill or elo, not both"),
        ({"depth": 0}, "depth must be None or an integer of at least 1, not 0"),
        ({"nodes": 0}, "nodes must be None or an integer of at least 1, not 0"),
    ],
)
def test_stockfish_options_are_checked(options, message):
    with pytest.raises(InvalidConfiguration, match=message):
        StockfishOpponent(**options)


def ask_human(typed, position=OPENING):
    output = io.StringIO()
    return HumanOpponent(io.StringIO(typed), output)(position, CancelToken()), output.getvalue()


@pytest.mark.parametrize(
    "typed",
    [
        "g1f3", "Nf3", "  g1f3  ", "♘f3", "Ng1-f3", "g1->f3", "g1-f3", "Knight to f3", "knight f3", "Move: Nf3",
        "1. Nf3",
        "1.Nf3", "Nf3!", "Nf3!?", "**Nf3**", "(Nf3)", "'Nf3'", "I play Nf3", "my move is Nf3.", "from g1 to f3", "N-f3",
        "G1F3", "the knight on g1 moves to f3",
    ],
)  # fmt: skip
def test_a_person_may_type_a_move_in_any_way(typed):
    for end in ("\n", ""):
        move, shown = ask_human(typed + end)
        assert move == "g1f3"
        assert "White to move" in shown
        assert "1 R N B Q K B N R\n  a b c d e f g h\n" in shown and "\n5 . . . . p . . .\n" in shown


NOT_ONE = [
    "e4 or d4",
    "e2 e4",
    "Is e4 good?",
    "not e4",
    "no",
    "e4, then d4",
    "Nf3 e4",
    "Sf3",
    "f3f4",
    "O-O",
    "e9",
    "♛",
    "\0",
]


@pytest.mark.parametrize("typed", NOT_ONE, ids=repr)
def test_what_may_be_meant_otherwise_is_asked_again(typed):
    move, shown = ask_human(f"{typed}\nd2d4\n")
    assert move == "d2d4"
    assert "is not one legal move here. Type the move alone, such as g1h3 or Nh3; ? lists all." in shown


@pytest.mark.parametrize(
    ("fen", "typed", "move"),
    [
        ("4k3/8/8/8/2p5/1P6/8/4KB2 w - - 0 1", "bc4", None),  # the pawn, or the bishop
        ("4k3/8/8/8/2p5/1P6/8/4KB2 w - - 0 1", "Bc4", "f1c4"),
        ("4k3/8/8/8/2p5/1P6/8/4KB2 w - - 0 1", "bxc4", "b3c4"),
        ("4k3/8/8/8/2p5/8/8/4KB2 w - - 0 1", "bc4", "f1c4"),
        ("4k3/8/8/8/2p5/1P6/8/4K3 w - - 0 1", "bc4", "b3c4"),
        ("4k3/P7/8/8/8/8/8/4K2R w K - 0 1", "a8=Q", "a7a8q"),
        ("4k3/P7/8/8/8/8/8/4K2R w K - 0 1", "a8 queen", "a7a8q"),
        ("4k3/P7/8/8/8/8/8/4K2R w K - 0 1", "a8", None),
        ("4k3/P7/8/8/8/8/8/4K2R w K - 0 1", "castle kingside", "e1g1"),
        ("4k3/P7/8/8/8/8/8/4K2R w K - 0 1", "0-0", "e1g1"),
        ("4k3/8/8/8/8/8/8/1N2K1N1 w - - 0 1", "Nd2", "b1d2"),
        ("4k3/8/8/8/8/5n2/8/1N2K1N1 w - - 0 1", "Nxf3", "g1f3"),
        ("4k3/8/8/8/8/8/8/N3K1N1 w - - 0 1", "Knight to e2", "g1e2"),
        ("4k3/8/8/8/2N3N1/8/8/4K3 w - - 0 1", "Ne5", None),  # two knights may go there
    ],
    ids=lambda value: str(value),
)
def test_moves_are_read_by_what_is_on_the_board(fen, typed, move):
    assert only_move(chess.Board(fen), typed) == move


@given(st.text(max_size=30) | st.from_regex(r"[KQRBNkqrbn]?[a-h]?[1-8]?x?[a-h][1-8](=[QRBN])?[+#!?]*", fullmatch=True))
def test_whatever_is_typed_is_a_legal_move_or_asked_again(typed):
    board = OPENING.board()
    move = only_move(board, typed)
    assert move is None or chess.Move.from_uci(move) in board.legal_moves


def test_a_person_is_asked_again_until_the_move_is_legal():
    move, shown = ask_human("hello\ne2e4\n0000\n--\n?\nd2d4\nf1c4\n")
    assert move == "d2d4"
    assert shown.count("Your move") == 6
    assert "'hello' is not one legal move here" in shown
    assert "'0000' is not one legal move here" in shown
    assert "Nf3 (g1f3)" in shown


def test_the_end_of_the_input_is_an_error():
    with pytest.raises(HandlerFailed, match="the input ended before White's move in rnbqkbnr"):
        ask_human("e2e5\n")


def test_a_person_is_asked_only_for_real(monkeypatch, capsys):
    human = HumanOpponent()
    assert type(opponent_of("human")[0]) is HumanOpponent
    assert human.effect is Effect.WRITE
    monkeypatch.setattr("sys.stdin", io.StringIO("d2d4\n"))
    assert human(Position(), CancelToken()) == "d2d4"
    assert "Your move" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("builtin", BuiltinOpponent),
        ("random", RandomOpponent),
        ("stockfish", StockfishOpponent),
        ("human", HumanOpponent),
    ],
)
def test_opponents_by_name(name, kind):
    opponent, is_new = opponent_of(name)
    assert (type(opponent), is_new) == (kind, True)


@pytest.mark.parametrize("name", ["Stockfish", "", None, []])
def test_an_unknown_name_is_an_error(name):
    with pytest.raises(InvalidConfiguration, match="one of 'builtin', 'stockfish', 'random', 'human', not"):
        opponent_of(name)


def test_a_person_who_plays_black_sees_the_board_from_that_side():
    output = io.StringIO()
    assert HumanOpponent(io.StringIO("e5\n"), output)(Position(moves=("e2e4",))) == "e7e5"
    assert output.getvalue().startswith(
        "\n1 R N B K Q B N R\n2 P P P . P P P P\n3 . . . . . . . .\n4 . . . P . . . .\n"
    )
    assert "\n8 r n b k q b n r\n  h g f e d c b a\n\nBlack to move.\n" in output.getvalue()
