import copy
import json
import math
import pickle
from typing import Any

import chess
import gymnasium as gym
import pytest

from spec_envs import CancelToken, Effect, Usage
from spec_envs.chess.builtin import best_move
from spec_envs.chess.games import RecordedGame, RecordedPlayer
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, InvalidConfiguration
from tests.players import RECORDED_GAMES, NotingToken

RECORD = {
    "game": "small",
    "plies": [
        {
            "move": move,
            "actor_seconds": 10.0 * (number + 1),
            "actor_tokens": {"in": 100, "out": number},
            "guesses": {"2": {"moves": ["e2e4", "d2d4"], "seconds": 2.5, "tokens": {"in": 20, "out": 3}}},
        }
        for number, move in enumerate(["e2e4", "e7e5", "g1f3", "b8c6"])
    ],
}


@pytest.fixture
def game():
    return RecordedGame.of(RECORD, source="small")


def ask(player, position):
    token = NotingToken()
    move = player(position, token)
    ((seconds, usage),) = token.slept
    return move, seconds, usage


def test_the_record_is_read(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps(RECORD))
    game = RecordedGame.load(path)
    assert game.name == str(path)
    assert game.moves == ("e2e4", "e7e5", "g1f3", "b8c6")
    assert game.plies[1].seconds == 20.0
    assert game.plies[1].usage == Usage(100, 1)
    assert game.plies[0].guesses[2].moves == ("e2e4", "d2d4")
    assert game.plies[0].guesses[2].usage == Usage(20, 3)
    assert pickle.loads(pickle.dumps(game)) == game


@pytest.mark.parametrize("path", sorted(RECORDED_GAMES.glob("*.json")) or [None], ids=lambda path: path and path.stem)
def test_real_records_are_read(path):
    if path is None:
        pytest.skip(f"no recorded games in {RECORDED_GAMES}")
    game = RecordedGame.load(path)
    assert len(game.plies) == 50
    assert all(ply.seconds > 0 and ply.usage for ply in game.plies)
    assert all(len(ply.guesses[k].moves) == k for ply in game.plies for k in (1, 2, 3))


def broken(change):
    record = copy.deepcopy(RECORD)
    change(record["plies"])
    return record


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "^bad.json: expected an object with a list 'plies'"),
        ({"plies": []}, "^bad.json: the record has no plies"),
        ({**RECORD, "start_fen": "nonsense"}, "^bad.json: start_fen cannot be read"),
        (broken(lambda plies: plies[2].update(move="g1g3")), "^bad.json, ply 2: the move is illegal.*g1g3"),
        (broken(lambda plies: plies[2].update(move="Nf3")), "^bad.json, ply 2: the move cannot be read.*Nf3"),
        (broken(lambda plies: plies[2].update(move="0000")), "^bad.json, ply 2: the null move"),
        (broken(lambda plies: plies[2].update(move=7)), "^bad.json, ply 2: 'move' must be text, not 7"),
        (broken(lambda plies: plies[1].pop("actor_seconds")), "^bad.json, ply 1: 'actor_seconds' is missing"),
        (broken(lambda plies: plies[1].update(actor_seconds=-1)), "ply 1: 'actor_seconds' must be a number .* not -1"),
        (broken(lambda plies: plies[1].update(actor_seconds=math.nan)), "ply 1: 'actor_seconds' must be .* not nan"),
        (broken(lambda plies: plies[1].update(actor_tokens={"in": 1})), "^bad.json, ply 1: 'out' is missing"),
        (broken(lambda plies: plies[1].update(actor_tokens=5)), "ply 1: 'actor_tokens' must be an object"),
        (broken(lambda plies: plies[3].update(guesses={"two": {}})), "ply 3: the keys of 'guesses' are numbers"),
        (broken(lambda plies: plies[3].update(guesses={"2": {"moves": "e2e4"}})), r"ply 3: guesses\['2'\] must be"),
        (broken(lambda plies: plies.__setitem__(0, "e2e4")), "^bad.json, ply 0: expected an object, not 'e2e4'"),
    ],
)
def test_a_broken_record_is_refused(record, message):
    with pytest.raises(InvalidConfiguration, match=message):
        RecordedGame.of(record, source="bad.json")


def test_a_file_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('{"plies": [')
    with pytest.raises(InvalidConfiguration, match="broken.json cannot be read as JSON"):
        RecordedGame.load(path)
    with pytest.raises(FileNotFoundError):
        RecordedGame.load(tmp_path / "absent.json")


def test_positions_of_the_record_are_known(game):
    for number in range(4):
        assert game.ply_of(Position(moves=game.moves[:number], seed=number)) == number
    assert game.ply_of(Position(moves=game.moves)) is None
    assert game.ply_of(Position(moves=("d2d4",))) is None
    assert game.ply_of(Position("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBN1 w Qkq - 0 1")) is None


def test_the_recorded_move_comes_after_the_recorded_time_and_tokens(game):
    player = RecordedPlayer(game, speed=4.0)
    assert player.effect is Effect.SAMPLE
    assert ask(player, Position(moves=("e2e4",), seed=9)) == ("e7e5", 5.0, Usage(100, 1))
    assert ask(player.opponent, Position()) == ("e2e4", 2.5, Usage(100, 0))
    observation = {"start_fen": chess.STARTING_FEN, "history": "e2e4 e7e5"}
    assert ask(player.policy, observation) == ("g1f3", 7.5, Usage(100, 2))


def test_elsewhere_the_built_in_engine_moves_after_a_similar_time(game):
    player = RecordedPlayer(game, seed=3)
    position = Position(moves=("d2d4",))
    move, seconds, usage = ask(player, position)
    assert move == best_move(position.board()).uci()
    assert seconds != 20.0
    assert usage == Usage(100, 1)
    assert ask(RecordedPlayer(game, seed=3), Position(moves=("d2d4",), seed=5)) == (move, seconds, usage)
    assert ask(RecordedPlayer(game, seed=4), position)[1] != seconds


def test_past_the_end_the_last_ply_counts(game):
    move, seconds, usage = ask(RecordedPlayer(game), Position(moves=(*game.moves, "f1b5", "a7a6")))
    assert move
    assert usage == Usage(100, 3)
    assert 40 * math.exp(-2) < seconds < 40 * math.exp(2)


def test_thinking_times_off_the_record_are_lognormal(game):
    factors = [math.log(ask(RecordedPlayer(game, seed=seed), Position(moves=("d2d4",)))[1] / 20) for seed in range(400)]
    mean = sum(factors) / 400
    assert abs(mean) < 0.1
    assert 0.3 < math.sqrt(sum((each - mean) ** 2 for each in factors) / 400) < 0.5


def test_a_cancelled_call_does_not_move(game, monkeypatch):
    monkeypatch.setattr("spec_envs.chess.games.best_move", lambda board: pytest.fail("worked for nobody"))
    token = CancelToken()
    token.cancel()
    with pytest.raises(CallCancelled):
        RecordedPlayer(game)(Position(moves=("d2d4",)), token)


def test_a_speed_of_nothing_is_refused(game):
    with pytest.raises(InvalidConfiguration, match="speed must be above 0, not 0"):
        RecordedPlayer(game, speed=0)


@pytest.mark.parametrize(
    ("start_fen", "moves", "as_played"),
    [
        (chess.STARTING_FEN, "e2e4 e7e5 g1f3 b8c6 f1c4 f8c5 e1h1 g8f6", "e2e4 e7e5 g1f3 b8c6 f1c4 f8c5 e1g1 g8f6"),
        ("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1", "e7e5 g1f3", "e7e5 g1f3"),
        ("4k3/8/8/8/8/8/4P3/4K3 w", "e2e4 e8e7", "e2e4 e8e7"),
    ],
    ids=["castling", "en passant", "short FEN"],
)
def test_a_record_in_other_notation_is_played_as_recorded(start_fen, moves, as_played):
    ply: Any = RECORD["plies"][0]
    game = RecordedGame.of({"start_fen": start_fen, "plies": [{**ply, "move": move} for move in moves.split()]})
    player = RecordedPlayer(game, speed=1e9)
    color = chess.COLOR_NAMES[chess.Board(start_fen).turn]
    env = gym.make("SpecChess-v0", opponent=player.opponent, fen=start_fen, color=color, max_plies=len(game.plies))
    observation, _ = env.reset(seed=0)
    done = False
    while not done:
        observation, _, terminated, truncated, _ = env.step(player.policy(observation, CancelToken()))
        done = terminated or truncated
    assert observation["history"] == as_played == " ".join(game.moves)
