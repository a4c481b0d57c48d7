import chess
import numpy as np
import pytest

from spec_envs import Call, CancelToken, Effect, Usage
from spec_envs.agents import (
    BuiltinChessGuesser,
    BuiltinChessPolicy,
    RandomChessPolicy,
    RecordedChessGuesser,
    StockfishGuesser,
    StockfishPolicy,
    UnionGuesser,
)
from spec_envs.agents.calibration import RankCalibration
from spec_envs.chess.encoding import encode_move
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.games import RecordedGame
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, InvalidConfiguration
from tests.players import RECORDED_GAMES, NotingToken, needs_stockfish

POLICIES = [
    pytest.param(BuiltinChessPolicy, id="builtin"),
    pytest.param(RandomChessPolicy, id="random"),
    pytest.param(lambda **kw: StockfishPolicy(depth=2, **kw), id="stockfish", marks=needs_stockfish),
]
GUESSERS = [
    pytest.param(BuiltinChessGuesser, id="builtin"),
    pytest.param(StockfishGuesser, id="stockfish", marks=needs_stockfish),
]
GAME = RecordedGame.of(
    {
        "plies": [
            {
                "move": move,
                "actor_seconds": 10,
                "actor_tokens": {"in": 100, "out": 10},
                "guesses": {"3": {"moves": guesses, "seconds": 2.5, "tokens": {"in": 20, "out": 3}}},
            }
            for move, guesses in [
                ("e2e4", ["d2d4", "e2e4", "d2d4"]),
                ("e7e5", ["c7c5", "e7e5", "e7e6"]),
                ("g1f3", ["g1f3", "b1c3", "f1c4"]),
            ]
        ]
    }
)


def observe(*moves):
    board = chess.Board()
    for move in moves:
        board.push_uci(move)
    return {
        "fen": board.fen(),
        "turn": "white" if board.turn else "black",
        "history": " ".join(moves),
        "legal_moves": " ".join(move.uci() for move in board.legal_moves),
        "start_fen": chess.STARTING_FEN,
    }


@pytest.mark.parametrize("make", POLICIES)
def test_policies_are_pure_functions_of_the_observation(make, closing):
    one, two = closing(make()), closing(make())
    assert one.effect is Effect.READ
    for moves in [(), ("e2e4",), ("e2e4", "e7e5", "g1f3")]:
        action = one(observe(*moves), CancelToken())
        assert action in observe(*moves)["legal_moves"].split()
        assert action == two(observe(*moves), CancelToken())


@pytest.mark.parametrize("make", POLICIES)
def test_policies_answer_index_environments(make, closing):
    text, index = closing(make()), closing(make(action_format="index"))
    observation = observe("e2e4")
    move = chess.Move.from_uci(text(observation, CancelToken()))
    assert index(observation, CancelToken()) == encode_move(move, chess.BLACK)


def test_random_policies_differ_by_seed():
    observations = [observe(), observe("e2e4"), observe("d2d4", "d7d5"), observe("c2c4")]
    played = {tuple(RandomChessPolicy(seed)(each, CancelToken()) for each in observations) for seed in range(5)}
    assert len(played) == 5


@pytest.mark.parametrize("make", GUESSERS)
def test_guesses_legal_moves_for_both_sides(make, closing):
    guesser = closing(make())
    opponent = guesser.guess(Call("opponent", Position(moves=("e2e4",), seed=7)), 4)
    assert len({guess.response for guess in opponent}) == 4
    assert {guess.response for guess in opponent} <= set(observe("e2e4")["legal_moves"].split())
    probabilities = [guess.probability for guess in opponent]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0.5 < sum(probabilities) <= 1
    assert guesser.guess(Call("policy", observe("e2e4")), 4) == opponent


@pytest.mark.parametrize("make", GUESSERS)
def test_queries_without_a_position_get_no_guess(make, closing):
    guesser = closing(make())
    planes = Call("policy", {"observation": np.zeros((8, 8, 111)), "action_mask": np.ones(4672)})
    assert guesser.guess(planes, 3) == []
    guesser.observe(planes, 5)
    assert guesser.guess(Call("opponent", Position("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1")), 3) == []


@pytest.mark.parametrize("make", GUESSERS)
def test_only_the_agents_own_moves_are_guessed_as_indices(make, closing):
    guesser = closing(make(action_format="index"))
    own = guesser.guess(Call("policy", observe("e2e4")), 3)
    theirs = guesser.guess(Call("opponent", Position(moves=("e2e4",))), 3)
    encoded = [encode_move(chess.Move.from_uci(guess.response), chess.BLACK) for guess in theirs]
    assert [guess.response for guess in own] == encoded


@pytest.mark.parametrize("action_format", ["uci", "index"])
@pytest.mark.parametrize("make", GUESSERS)
def test_learns_which_rank_is_right(make, action_format, closing):
    guesser = closing(make(action_format=action_format))
    call = Call("policy", observe("e2e4"))
    before = guesser.guess(call, 3)
    for _ in range(40):
        guesser.observe(call, before[1].response)
    assert guesser.guess(call, 1)[0].response == before[1].response
    assert guesser.guess(call, 1)[0].probability > 0.5


@pytest.mark.parametrize("make", GUESSERS)
def test_a_forced_move_is_nearly_certain(make, closing):
    (guess,) = closing(make()).guess(Call("opponent", Position("7k/8/8/8/8/8/r7/7K w - - 0 1")), 3)
    assert guess.response == "h1g1"
    assert guess.probability > 0.95


@pytest.mark.parametrize("make", GUESSERS)
def test_a_cancelled_guess_ends(make, closing):
    token = CancelToken()
    token.cancel()
    with pytest.raises(CallCancelled):
        closing(make()).guess(Call("opponent", Position()), 3, token)


@needs_stockfish
def test_a_shared_pool_is_left_to_its_owner():
    with EnginePool() as pool:
        with StockfishGuesser(pool=pool) as guesser, StockfishPolicy(depth=1, pool=pool) as policy:
            assert guesser.guess(Call("opponent", Position()), 1)
            assert policy(observe(), CancelToken())
        assert len(pool.pids()) == 1
    assert pool.pids() == []


def test_arguments_are_checked():
    with pytest.raises(InvalidConfiguration, match="action_format must be 'uci' or 'index', not 'san'"):
        BuiltinChessGuesser(action_format="san")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidConfiguration, match="must be an integer of at least 1, not 0"):
        StockfishGuesser(multipv=0)
    with pytest.raises(InvalidConfiguration, match=r"k_recorded must be one of \[3\] for record, not 2"):
        RecordedChessGuesser(GAME, 2)


def test_recorded_guesses_come_after_their_time_and_tokens():
    token = NotingToken()
    guesses = RecordedChessGuesser(GAME, speed=2.0).guess(Call("opponent", Position(moves=("e2e4",), seed=4)), 2, token)
    assert [guess.response for guess in guesses] == ["c7c5", "e7e5"]
    assert [guess.probability for guess in guesses] == RankCalibration().probabilities(3)[:2]
    assert token.slept == [(1.25, Usage(20, 3))]


def test_recorded_guesses_are_of_both_sides_and_distinct():
    token = NotingToken()
    guesses = RecordedChessGuesser(GAME).guess(Call("policy", observe()), 3, token)
    assert [guess.response for guess in guesses] == ["d2d4", "e2e4"]


def test_off_the_record_there_is_no_guess_and_no_wait():
    token, guesser = NotingToken(), RecordedChessGuesser(GAME)
    for call in [Call("opponent", Position(moves=("d2d4",))), Call("policy", np.zeros(3))]:
        assert guesser.guess(call, 3, token) == []
        guesser.observe(call, "e2e4")
    assert token.slept == []


def test_recorded_guesses_learn_which_rank_is_right():
    guesser, call = RecordedChessGuesser(GAME), Call("opponent", Position(moves=("e2e4",)))
    for _ in range(100):
        guesser.observe(call, "e7e5")
    first, second, _ = guesser.guess(call, 3, NotingToken())
    assert first.probability < 0.1
    assert second.probability > 0.8


@pytest.mark.skipif(not RECORDED_GAMES.is_dir(), reason=f"no recorded games in {RECORDED_GAMES}")
@pytest.mark.parametrize(
    "make",
    [
        *GUESSERS,
        pytest.param(
            lambda: UnionGuesser([StockfishGuesser(), BuiltinChessGuesser()]), id="union", marks=needs_stockfish
        ),
    ],
)
def test_a_free_guesser_names_most_moves_of_a_language_model(make, closing):
    hits = []
    for path in sorted(RECORDED_GAMES.glob("*.json")):
        guesser, moves = closing(make()), RecordedGame.load(path).moves
        for ply in range(30):
            call = Call("opponent", Position(moves=moves[:ply]))
            hits.append(moves[ply] in [guess.response for guess in guesser.guess(call, 3)])
            guesser.observe(call, moves[ply])
    assert sum(hits) / len(hits) > 0.6


@pytest.mark.parametrize(
    ("guesser", "option"), [(BuiltinChessGuesser, "depth"), (StockfishGuesser, "depth"), (StockfishGuesser, "nodes")]
)
def test_an_impossible_limit_is_refused_at_once(guesser, option):
    with pytest.raises(InvalidConfiguration, match=f"{option} must be .*at least 1, not 0"):
        guesser(**{option: 0})
