"""``spec-envs bench chess``: what it reports, and that it refuses what it cannot replay."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from spec_envs.agents import MoveModelGuesser
from spec_envs.agents.chess.move_model import choices_in, fit
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.chess.run import ChessBench, Replay, made_up_game
from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.reports import mean_of
from spec_envs.chess.games import RecordedGame
from spec_envs.errors import InvalidConfiguration

RECORDS = Path(__file__).parents[2] / ".." / "shared" / "data" / "chess_gpt5"
needs_records = pytest.mark.skipif(not RECORDS.is_dir(), reason="the recorded games of gpt-5 are not here")

#: Time saved over the first 30 plies, in percent, by k: the source's own analysis of its games.
PUBLISHED = {
    "32831f2d": {1: 12.46, 2: 11.28, 3: 14.96},
    "4c277d18": {1: 18.11, 2: 18.40, 3: 21.70},
    "cd188ca0": {1: 9.12, 2: 13.58, 3: 17.57},
}


def write_game(path: Path, plies: int = 8) -> Path:
    """A record file: a made-up game whose guesses, for k = 1 and 2, are right at every second ply."""
    game = made_up_game(plies)
    entries = []
    for number, ply in enumerate(game.plies):
        moves = [ply.move if number % 2 == 0 else "a1a1", "b1b1"]
        tokens = {"in": ply.usage.tokens_in, "out": ply.usage.tokens_out}
        guesses = {str(k): {"moves": moves[:k], "seconds": 1.0, "tokens": {"in": 10, "out": 20}} for k in (1, 2)}
        entries.append(
            {"move": ply.move, "actor_seconds": ply.seconds, "actor_tokens": tokens, "guesses": guesses},
        )
    path.write_text(json.dumps({"plies": entries}))
    return path


@pytest.fixture
def game(tmp_path):
    return write_game(tmp_path / "game.json")


def bench(*args: object):
    return CliRunner().invoke(main, ["bench", "chess", *map(str, args)])


def report(*args: object) -> dict:
    result = bench(*args, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def replay_all(games: list[RecordedGame], **settings) -> list[Replay]:
    with ChessBench(games, ChessSettings(**settings)) as chess_bench:
        return [chess_bench.replay(game) for game in games]


class TestReport:
    def test_has_figures_for_each_game_and_their_mean(self, tmp_path, game):
        other = write_game(tmp_path / "other.json", plies=9)
        data = report("--games", game, other, "--plies", 8, "--guesses", "recorded", "--k", 2, "--max-inflight", 2)
        assert [each["game"] for each in data["games"]] == ["game", "other"]
        for each in (*data["games"], data["mean"]):
            assert {"saved", "hit_rate", "tokens_full", "tokens_partial", "calls", "lossless"} <= each.keys()
            assert each["lossless"] == 1
            assert each["calls"]["committed"] == 8
            assert 0 < each["saved"] < 1
            assert each["tokens_full"] >= each["tokens_partial"] > 1
        saved = [each["saved"] for each in data["games"]]
        assert data["mean"]["saved"] == pytest.approx(sum(saved) / 2)
        assert data["config"]["k"] == 2

    def test_every_call_is_accounted_for(self, game):
        (each,) = report("--games", game, "--plies", 8, "--guesses", "builtin", "--max-inflight", 4)["games"]
        assert each["calls"]["open"] == 0
        assert each["hits"] <= each["windows"] <= each["plies"] == 8
        assert each["speculative_s"] == pytest.approx((1 - each["saved"]) * each["sequential_s"])

    def test_is_the_same_every_time(self, game):
        args = ["--games", game, "--plies", 8, "--guesses", "builtin", "--seed", 3]
        assert report(*args) == report(*args)

    def test_does_not_depend_on_the_order_of_the_games(self, tmp_path, game):
        other = write_game(tmp_path / "other.json", plies=9)
        there = report("--games", game, other, "--plies", 8, "--guesses", "builtin")["games"]
        back = report("--games", other, game, "--plies", 8, "--guesses", "builtin")["games"]
        assert there == back[::-1]

    def test_goes_to_a_file(self, game, tmp_path):
        result = bench("--games", game, "--plies", 4, "--guesses", "builtin", "--json", tmp_path / "result.json")
        assert (result.exit_code, result.output) == (0, "")
        assert len(json.loads((tmp_path / "result.json").read_text())["games"]) == 1

    def test_is_a_table_without_json(self, game):
        result = bench("--games", game, "--plies", 4, "--guesses", "builtin")
        assert result.exit_code == 0
        assert "saved" in result.stdout and "mean" in result.stdout and "game" in result.stdout
        assert result.stderr == ""

    def test_mean_counts_an_outcome_that_is_not_named_as_none(self):
        (replay,) = replay_all([made_up_game(4)], plies=4, guesses="builtin")
        other = dataclasses.replace(replay, guesses={"failed": 4})
        assert mean_of([replay, other])["guesses"]["failed"] == 2


class TestSettings:
    def test_without_places_nothing_is_saved(self, game):
        (each,) = report("--games", game, "--plies", 8, "--guesses", "builtin", "--max-inflight", 0)["games"]
        assert each["saved"] == pytest.approx(0)
        assert each["tokens_full"] == 1
        assert each["lossless"] == 1

    def test_papers_rules_have_depth_one_and_k_places(self):
        limits = ChessSettings(rules="paper", k=5).limits
        assert (limits.max_depth, limits.max_inflight, limits.windows_ahead) == (1, 5, False)
        assert ChessSettings(rules="paper", k=5, max_inflight=2).limits.max_inflight == 2
        with pytest.raises(InvalidConfiguration, match="max-depth"):
            ChessSettings(rules="paper", max_depth=3)

    @pytest.mark.parametrize(
        "field, value", [("plies", 0), ("k", 0), ("seed", -1), ("speed", 0.0), ("rules", "none"), ("max_inflight", -1)]
    )
    def test_nonsense_is_refused_by_name(self, field, value):
        with pytest.raises(InvalidConfiguration, match=field):
            ChessSettings(**{field: value})

    def test_black_may_move_first(self):
        game = made_up_game(9)
        start = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
        later = RecordedGame("later", game.plies[1:], start)
        assert game.plies[0].move == "e2e4"
        assert replay_all([later], plies=8, guesses="builtin")[0].lossless == 1


class TestMoveModel:
    def test_is_fitted_to_the_other_games_only(self, monkeypatch):
        monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")
        games = [dataclasses.replace(made_up_game(12, seed), name=str(seed)) for seed in range(2)]
        settings = ChessSettings(plies=6, guesses="move-model", fit="leave-one-out", clock="wall")
        with ChessBench(games, settings) as bench:
            for game, other in (games, games[::-1]):
                guesser = bench.guesser(game)
                assert isinstance(guesser, MoveModelGuesser)
                assert guesser.model == fit(choices_in(other.start_fen, other.moves))

    def test_replays_with_the_shipped_weights(self, game):
        (each,) = report("--games", game, "--plies", 8, "--guesses", "move-model")["games"]
        assert each["lossless"] == 1
        assert each["windows"] == 8


class TestBadInput:
    @pytest.mark.parametrize(
        "args, message",
        [
            (["--k", 0], "--k"),
            (["--plies", 0], "--plies"),
            (["--plies", 9], "has 8 half moves, and --plies is 9: give --plies 8 or less"),
            (["--speed", 0], "--speed"),
            (["--speed", -1], "--speed"),
            (["--speed", "nan", "--clock", "wall"], "speed"),
            (["--guesses", "nobody"], "--guesses"),
            (["--guesses", "recorded", "--k", 3], "no recorded guesses for --k 3: give "),
            (["--rules", "paper", "--max-depth", 2], "--max-depth cannot be 2: leave it out, or give --rules tree"),
            (["--guesses", "move-model", "--fit", "leave-one-out"], "--games must name at least two"),
            (["--fit", "leave-one-out"], "move-model"),
            (["--json", "no/such/folder/result.json"], "no/such/folder"),
        ],
    )
    def test_options(self, game, args, message):
        result = bench("--games", game, "--plies", 8, "--guesses", "builtin", *args)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stdout == ""

    def test_a_missing_file(self, game):
        result = bench("--games", game, "missing.json")
        assert result.exit_code == 2
        assert "missing.json" in result.stderr

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"plies": []}', '{"plies": [{"move": "e2e5", "actor_seconds": 1}]}', "\xff"]
    )
    def test_a_file_that_is_no_record(self, tmp_path, content):
        path = tmp_path / "bad.json"
        path.write_bytes(content.encode("latin-1"))
        result = bench("--games", path, "--plies", 1, "--guesses", "builtin")
        assert result.exit_code == 2
        assert "bad.json" in result.stderr
        assert "Traceback" not in result.output

    def test_stockfish_that_is_not_there(self, game, monkeypatch):
        monkeypatch.setenv("SPEC_ENVS_STOCKFISH", "/not/installed")
        result = bench("--games", game, "--plies", 8, "--guesses", "stockfish")
        assert result.exit_code == 2
        assert "/not/installed" in result.stderr


@needs_records
class TestRecordedGames:
    @pytest.mark.parametrize("k", [1, 2, 3])
    def test_papers_rules_give_the_published_figures(self, k):
        games = [RecordedGame.load(RECORDS / f"{name}.json") for name in PUBLISHED]
        for replay in replay_all(games, guesses="recorded", rules="paper", k=k):
            assert replay.lossless
            assert 100 * replay.saved == pytest.approx(PUBLISHED[replay.game][k], abs=1.0)

    def test_a_tree_saves_twice_as_much(self):
        games = [RecordedGame.load(path) for path in sorted(RECORDS.glob("*.json"))]
        mean = mean_of(replay_all(games, guesses="recorded", max_inflight=8, selectivity=0.02))
        assert mean["saved"] >= 0.39
        assert mean["lossless"] == 1
