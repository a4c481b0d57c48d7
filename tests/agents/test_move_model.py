"""``MoveModelGuesser``: its model of moves, what the model goes by, and fitting one."""

from __future__ import annotations

import json

import chess
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, CancelToken
from spec_envs.agents import MoveModelGuesser
from spec_envs.agents.chess.move_features import move_features
from spec_envs.agents.chess.move_model import MoveModel, choices_in, fit
from spec_envs.benchmarks.cli import main
from spec_envs.chess.encoding import encode_move
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.games import RecordedGame
from spec_envs.chess.position import Position
from spec_envs.errors import CallCancelled, InvalidConfiguration
from tests.players import RECORDED_GAMES, needs_stockfish

PGN = """
[Event "first"]

1. e4 e5 2. Nf3 Nc6 3. Bc4 Bc5 4. O-O Nf6 *

[Event "second"]
[FEN "4k3/8/8/8/8/8/4P3/4K3 w - - 0 1"]

1. e4 Kd7 2. e5 *
"""


def guesser_without_stockfish(**options):
    return MoveModelGuesser(MoveModel.shipped(stockfish=False), **options)


def features(fen: str, move: str) -> dict[str, float]:
    return move_features(chess.Board(fen))[move]


def after(*moves: str) -> chess.Board:
    board = chess.Board()
    for move in moves:
        board.push_uci(move)
    return board


class TestGuesses:
    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(guesser_without_stockfish, id="builtin"),
            pytest.param(MoveModelGuesser, id="stockfish", marks=needs_stockfish),
        ],
    )
    def test_are_legal_moves_with_probabilities(self, make, closing):
        guesser = closing(make())
        guesses = guesser.guess(Call("opponent", Position(moves=("e2e4", "e7e5"))), 5)
        legal = {move.uci() for move in after("e2e4", "e7e5").legal_moves}
        assert len({guess.response for guess in guesses} & legal) == 5
        assert [guess.probability for guess in guesses] == sorted((g.probability for g in guesses), reverse=True)
        whole = guesser.guess(Call("opponent", Position(moves=("e2e4", "e7e5"))), 100)
        assert {guess.response for guess in whole} == legal
        assert 0.98 < sum(guess.probability for guess in whole) < 1
        assert whole[:5] == guesses

    def test_need_no_stockfish(self, monkeypatch):
        monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")
        guesser = MoveModelGuesser()
        assert not guesser.model.uses_stockfish
        assert guesser.guess(Call("opponent", Position()), 3)

    @needs_stockfish
    def test_use_a_pool_that_its_owner_closes(self):
        with EnginePool(max_engines=1) as pool:
            with MoveModelGuesser(pool=pool) as guesser:
                assert guesser.guess(Call("opponent", Position()), 3)
            assert len(pool.pids()) == 1

    def test_of_the_own_move_have_the_form_of_actions(self):
        guesser = guesser_without_stockfish(action_format="index")
        theirs = guesser.guess(Call("opponent", Position(moves=("e2e4",))), 3)
        own = guesser.guess(Call("policy", Position(moves=("e2e4",))), 3)
        encoded = [encode_move(chess.Move.from_uci(guess.response), chess.BLACK) for guess in theirs]
        assert [guess.response for guess in own] == encoded

    def test_are_none_without_a_position_or_after_the_end(self):
        guesser = guesser_without_stockfish()
        assert guesser.guess(Call("policy", {"observation": 0}), 3) == []
        assert guesser.guess(Call("opponent", Position("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1")), 3) == []

    def test_end_when_cancelled(self):
        token = CancelToken()
        token.cancel()
        with pytest.raises(CallCancelled):
            guesser_without_stockfish().guess(Call("opponent", Position()), 3, token)


class TestFeatures:
    def test_of_captures(self):
        board = after("e2e4", "d7d5", "e4d5")
        taking = move_features(board)["d8d5"]
        assert taking["takes"] == taking["takes back"] == taking["takes what just moved"] == 1
        assert (taking["value taken"], taking["value taken beyond its own"]) == (1, 0)
        assert features("4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1", "e4d5")["value taken beyond its own"] == 8
        passing = move_features(after("e2e4", "a7a6", "e4e5", "d7d5"))["e5d6"]
        assert (passing["value taken"], passing["takes back"]) == (1, 0)

    @pytest.mark.parametrize(
        "fen, move, expected",
        [
            pytest.param("4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1", "e1g1", {"castles": 1, "king": 1}, id="castling"),
            pytest.param("8/P6k/8/8/8/8/8/K7 w - - 0 1", "a7a8q", {"promotes to a queen": 1}, id="queen"),
            pytest.param("8/P6k/8/8/8/8/8/K7 w - - 0 1", "a7a8n", {"promotes to less": 1}, id="underpromotion"),
            pytest.param(
                "4k3/8/8/8/8/8/4R3/K7 w - - 0 1", "e2e7", {"check": 1, "value hanging": 5}, id="hanging check"
            ),
            pytest.param(
                "4k3/8/2p5/3r4/4P3/2N5/8/K7 w - - 0 1", "c3d5", {"value taken": 5, "value hanging": 2}, id="defended"
            ),
            pytest.param(
                "4k3/8/8/8/2p5/3N4/8/K7 w - - 0 1", "d3f4", {"value threatened": 3, "value hanging": 0}, id="threatened"
            ),
            pytest.param(
                "r3k2r/8/8/3N4/8/8/8/6K1 w - - 0 1",
                "d5c7",
                {"dearer pieces attacked": 1, "undefended pieces attacked": 1, "check": 1},
                id="fork",
            ),
            pytest.param(
                "4k3/8/8/8/8/8/P7/K7 w - - 0 1",
                "a2a3",
                {"pawn moves by one": 1, "pawn to the rim": 1, "rank of the pawn": 2},
                id="pawn",
            ),
        ],
    )
    def test_of_what_a_move_does(self, fen, move, expected):
        found = features(fen, move)
        assert {name: found[name] for name in expected} == expected

    def test_of_moves_before(self):
        found = move_features(after("g1f3", "e7e5"))
        assert (found["f3g1"]["undoes"], found["f3g1"]["same piece again"]) == (1, 1)
        assert (found["f3e5"]["undoes"], found["f3e5"]["same piece again"]) == (0, 1)
        assert found["e2e4"]["same piece again"] == 0

    @given(st.lists(st.integers(0, 1000), max_size=40))
    @settings(max_examples=25, deadline=None)
    def test_are_those_of_the_mirrored_game(self, draws):
        board, mirrored = chess.Board(), chess.Board().mirror()
        for draw in draws:
            moves = sorted(board.legal_moves, key=lambda move: move.uci())
            if not moves:
                break
            move = moves[draw % len(moves)]
            board.push(move)
            mirrored.push(mirror(move))
        there = {mirror(chess.Move.from_uci(uci)).uci(): row for uci, row in move_features(board).items()}
        back = move_features(mirrored)
        assert there.keys() == back.keys() == {move.uci() for move in mirrored.legal_moves}
        for move, row in back.items():  # the ranks of equal moves are by their order, which is not mirrored
            assert {name: row[name] for name in row if "rank" not in name and "first" not in name} == pytest.approx(
                {name: there[move][name] for name in row if "rank" not in name and "first" not in name}
            )


def mirror(move: chess.Move) -> chess.Move:
    return chess.Move(chess.square_mirror(move.from_square), chess.square_mirror(move.to_square), move.promotion)


class TestFitting:
    def test_learns_what_the_player_likes(self):
        """A player who moves the first of its knights that can be moved, and else the first move by name."""
        board = chess.Board()
        moves = []
        for _ in range(60):
            legal = sorted(
                board.legal_moves, key=lambda m: (board.piece_type_at(m.from_square) != chess.KNIGHT, str(m))
            )
            moves.append(legal[0].uci())
            board.push(legal[0])
        model = fit(choices_in(chess.STARTING_FEN, moves[:40]), l2=1.0)
        model_of_all_others = fit(choices_in(chess.STARTING_FEN, moves[:40]), l2=1e6)
        assert model.weights["knight"] > 1 > abs(model_of_all_others.weights["knight"])
        choices = choices_in(chess.STARTING_FEN, moves)[40:]
        found = [model.probabilities(choice.features) for choice in choices]
        assert sum(choice.move in list(each)[:3] for choice, each in zip(choices, found, strict=True)) > 15

    def test_of_nothing_is_refused(self):
        with pytest.raises(InvalidConfiguration, match="at least one move"):
            fit([])

    def test_command_writes_a_model_that_the_guesser_takes(self, tmp_path):
        games, out = tmp_path / "games.PGN", tmp_path / "moves.json"
        games.write_text(PGN)
        result = CliRunner().invoke(
            main, ["chess", "fit-moves", "--no-stockfish", "--games", str(games), "--out", str(out)]
        )
        assert (result.exit_code, result.output) == (0, "")
        guesser = MoveModelGuesser(MoveModel.load(out))
        assert guesser.guess(Call("opponent", Position()), 1)
        first = choices_in(chess.STARTING_FEN, "e2e4 e7e5 g1f3 b8c6 f1c4 f8c5 e1g1 g8f6".split())
        second = choices_in("4k3/8/8/8/8/8/4P3/4K3 w - - 0 1", "e2e4 e8d7 e4e5".split())
        assert guesser.model == fit(first + second)

    def test_command_refuses_a_game_with_an_illegal_move(self, tmp_path):
        games = tmp_path / "games.pgn"
        games.write_text("1. e4 Qh4 *")
        result = CliRunner().invoke(main, ["chess", "fit-moves", "--no-stockfish", "--games", str(games)])
        assert result.exit_code == 2
        assert "games.pgn" in result.stderr and "Qh4" in result.stderr

    @pytest.mark.parametrize(
        "data, message",
        [
            pytest.param([], "number for each feature", id="list"),
            pytest.param({"takes": "much"}, "much", id="text"),
            pytest.param({"takes": float("nan")}, "nan", id="nan"),
            pytest.param({"takes": 1.0}, "value taken", id="missing"),
            pytest.param({**MoveModel.shipped(stockfish=False).weights, "luck": 1.0}, "luck", id="unknown"),
        ],
    )
    def test_a_file_that_is_no_model_is_refused(self, tmp_path, data, message):
        path = tmp_path / "moves.json"
        path.write_text(json.dumps(data))
        with pytest.raises(InvalidConfiguration, match=message) as refused:
            MoveModel.load(path)
        assert "moves.json" in str(refused.value)


@needs_stockfish
@pytest.mark.skipif(not RECORDED_GAMES.is_dir(), reason="the recorded games of gpt-5 are not here")
def test_three_guesses_have_three_of_four_moves_of_a_game_that_was_held_out():
    games = [RecordedGame.load(path) for path in sorted(RECORDED_GAMES.glob("*.json"))]
    with EnginePool(max_engines=1) as pool:
        choices = [choices_in(game.start_fen, game.moves, pool) for game in games]
    right = 0
    for number, tested in enumerate(choices):
        model = fit(choice for other, each in enumerate(choices) if other != number for choice in each)
        right += sum(choice.move in list(model.probabilities(choice.features))[:3] for choice in tested[:30])
    assert right / 90 >= 0.75
