"""``spec-envs plan``: predictions agree with closed forms and with runs; what it reads, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import chess
import pytest
from click.testing import CliRunner

from spec_envs import Guess, Usage
from spec_envs.agents.chess import guessers
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.chess.run import ChessBench, made_up_game, speculative_env
from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.episodes import play, runtime_of
from spec_envs.benchmarks.plan import PlanSettings, simulation
from spec_envs.benchmarks.plan.closed_form import closed_form, hits_and_windows
from spec_envs.benchmarks.plan.simulation import simulate
from spec_envs.benchmarks.plan.traces import read
from spec_envs.benchmarks.plan.workload import PlannedCall, Workload, completed, drawn
from spec_envs.calls import Effect
from spec_envs.chess import builtin
from spec_envs.chess.engine import stockfish_is_installed
from spec_envs.chess.games import RecordedGame
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.handlers import metered, record, with_latency
from spec_envs.wrappers.recording import Recording

RECORDS = Path(__file__).parents[2] / ".." / "shared" / "data" / "chess_gpt5"
FREELY = Limits(min_probability=0.0, selectivity=0.0, calibrate=False)
DEPTH_1 = dataclasses.replace(FREELY, max_depth=1, windows_ahead=False, max_inflight=16)
UNLIMITED = dataclasses.replace(FREELY, max_inflight=10_000, max_nodes=100_000)


def full(found: simulation.Prediction) -> Any:
    """The tokens in full, which are known."""
    assert found.tokens_full is not None
    return found.tokens_full


def workload(**settings: Any) -> Workload:
    given = PlanSettings(**{"median_s": 4.0, "tokens": 100.0, "guess_rates": "0.5,0.2", "calls": 6, **settings})
    return completed(drawn(given), given)


def plan(*args: object) -> Any:
    return CliRunner().invoke(main, ["plan", *map(str, args)])


def report(*args: object) -> dict[str, Any]:
    result = plan(*args, "--json", "-")
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.stdout)
    return data


QUICK = ("--median-s", 4, "--tokens", 100, "--guess-rates", "0.6,0.2", "--calls", 4, "--episodes", 2)


@pytest.fixture(autouse=True)
def few_measured_calls(monkeypatch):
    """The machinery's time is measured on the clock, and its calls are waited for."""
    monkeypatch.setattr(simulation, "_CALLS", 6)


@pytest.fixture(scope="module")
def one_search():
    """The built-in engine searches a position once: the runs that are compared meet the same positions."""
    search, known = builtin.rank_moves, {}

    def rank_moves(board: chess.Board, k: int, depth: int = 1) -> list[tuple[chess.Move, int]]:
        key = (board.root().fen(), *board.move_stack, k, depth)
        if key not in known:
            known[key] = search(board, k, depth)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (builtin, guessers):
            patch.setattr(module, "rank_moves", rank_moves)
        yield


@pytest.fixture(scope="module", params=["made up", "recorded"])
def bench(request, tmp_path_factory, one_search):
    """Games, the settings of one run of them, and what its traces say."""
    if request.param == "recorded":
        if not RECORDS.is_dir():
            pytest.skip("the recorded games of gpt-5 are not here")
        if not stockfish_is_installed():
            pytest.skip("Stockfish is not installed")
        games = [RecordedGame.load(path) for path in sorted(RECORDS.glob("*.json"))]
    else:
        games = [made_up_game(seed=seed) for seed in range(3)]
    settings = ChessSettings(guesses="stockfish" if request.param == "recorded" else "builtin")
    return games, settings, read(traces_of(games, settings, tmp_path_factory.mktemp("traces")), calls=30)


class TestPredictionsOfTheChessBench:
    """A run at one setting predicts the runs at other settings: to 3 points, and to 12 % of the tokens."""

    OTHERS = (
        {"k": 1, "selectivity": 0.1},
        {"k": 3, "max_inflight": 1},
        {"k": 3, "max_inflight": 2},
        {"k": 3, "max_inflight": 4, "selectivity": 0.3},
    )
    #: Tokens of many calls behind wrong guesses. There an engine plays in the bench, which engines guess better than a
    #: model's moves, so that fewer calls are in vain; a trace of the real episode cannot tell.
    DEEP = ({"k": 2, "max_inflight": 8, "selectivity": 0.05},)

    @pytest.mark.parametrize("other", OTHERS, ids=str)
    def test_agree_with_runs(self, bench, other):
        self.compare(bench, other, tokens=0.12)

    @pytest.mark.parametrize("other", DEEP, ids=str)
    def test_agree_in_time_but_less_in_tokens_with_deep_runs(self, bench, other):
        self.compare(bench, other, tokens=0.25)

    def compare(self, bench, other, tokens):
        games, settings, known = bench
        settings = dataclasses.replace(settings, **other)
        with ChessBench(games, settings) as chess_bench:
            replays = [chess_bench.replay(game) for game in games]
        found = simulate(known, settings.k, settings.limits, episodes=len(games))
        assert found.saved.mean == pytest.approx(statistics.fmean(each.saved for each in replays), abs=0.03)
        assert full(found).mean == pytest.approx(
            statistics.fmean(each.tokens_full or 1.0 for each in replays), rel=tokens
        )


def traces_of(games: list[RecordedGame], settings: ChessSettings, folder: Path) -> list[Path]:
    """Traces of replays, one a game."""
    files = []
    with ChessBench(games, settings) as chess_bench:
        for number, game in enumerate(games):
            runtime = runtime_of("virtual")
            with speculative_env(game, settings, chess_bench.guesser(game), runtime) as env:
                play(env, env.act, now=runtime.now)
            files.append(folder / f"{number}.jsonl")
            env.trace.to_jsonl(files[-1])
    return files


class TestClosedForms:
    @pytest.mark.parametrize("rates", ["0.5,0.2", "0.8"])
    def test_depth_1_agrees_with_the_simulation(self, rates):
        known = workload(guess_rates=rates, episodes=150, sigma=0.7, guess_s=0.5)
        expected, found = closed_form(known, k=2, selectivity=0.0), simulate(known, 2, DEPTH_1, episodes=150)
        assert found.saved.mean == pytest.approx(expected.saved_at_depth_1, abs=2 * found.saved.half)
        # The closed form has no window for the last call, which has no next one
        assert full(found).mean == pytest.approx(expected.tokens_at_depth_1, abs=2 * full(found).half)

    def test_without_limits_agrees_with_the_simulation_for_equal_seconds(self):
        known = workload(guess_rates="0.7", sigma=0.0, guess_s=1.0, calls=5, episodes=100)
        expected, found = closed_form(known, k=1, selectivity=0.0), simulate(known, 1, UNLIMITED, episodes=100)
        assert found.saved.mean == pytest.approx(expected.saved_without_limits, abs=2 * found.saved.half)
        assert expected.saved_without_limits == pytest.approx(4 / 5 * 0.7 * (1 - 1 / 4))

    def test_the_selectivity_drops_improbable_guesses(self):
        known = workload(guess_rates="0.5,0.05")
        assert closed_form(known, k=2, selectivity=0.1) == closed_form(known, k=1, selectivity=0.1)
        assert closed_form(known, k=2, selectivity=9.0).saved_at_depth_1 == 0.0

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_hits_without_and_with_certainty(self, n):
        assert hits_and_windows(n, 0.0) == (0.0, n)
        assert hits_and_windows(2 * n, 1.0) == (n, n)


class TestSimulation:
    def test_certain_guesses_in_no_time_leave_one_call(self):
        known = workload(guess_rates="1", sigma=0.0, calls=5)
        found = simulate(known, 1, Limits(max_inflight=10))
        assert found.saved.mean == pytest.approx(4 / 5)
        assert found.saved.half == pytest.approx(0.0)
        assert found.tokens_partial is not None
        assert full(found).mean == found.tokens_partial.mean == 1.0

    def test_no_call_in_flight_is_the_plain_loop(self):
        found = simulate(workload(), 2, Limits(max_inflight=0))
        assert (found.saved.mean, full(found).mean) == (0.0, 1.0)

    def test_calls_that_must_not_be_made_ahead_are_not(self):
        assert simulate(workload(writes=1.0), 2, Limits()).saved.mean == 0.0

    def test_the_machinery_is_taken_off(self):
        known = workload(sigma=0.0)  # calls of 4 s
        plain, slow = (simulate(known, 2, Limits(), machinery_s=seconds).saved.mean for seconds in (0.0, 1.0))
        assert plain - slow == pytest.approx(1 / 4)

    def test_few_known_episodes_widen_the_interval(self):
        known = workload(episodes=20)
        few = dataclasses.replace(known, num_known=2)
        assert simulate(few, 2, Limits()).saved.half > 3 * simulate(known, 2, Limits()).saved.half

    def test_is_the_same_each_time(self):
        assert simulate(workload(), 2, Limits(), seed=3) == simulate(workload(), 2, Limits(), seed=3)

    def test_without_a_policy_in_the_trace_the_reset_makes_all_calls(self):
        calls = [
            PlannedCall("world", 1.0),
            PlannedCall("tool", 2.0, Usage(3, 4), Effect.WRITE),
            PlannedCall("world", 3.0),
        ]
        found = simulate(Workload([calls], {}, num_known=1), 1, Limits(), episodes=2)
        assert (found.saved.mean, found.hit_rate) == (0.0, 0.0)


def recorded_run(world: Any = None, **options: Any) -> SpeculativeWrapper[Any, Any]:
    """Two episodes in virtual time, of a policy of 4 s and a world of 2 s."""

    class Half:
        def guess(self, call, k, cancel):
            cancel.sleep(0.25, Usage(tokens_in=7))
            return [Guess(pure_response(call.query), 0.6), Guess(9, 0.2)]

    world = world or metered(with_latency(pure_response, 2.0), Usage(tokens_out=10))
    policy = with_latency(pure_response, 4.0)
    guessers = {"world": Half(), "policy": Half()}
    env = SpeculativeWrapper(
        FakeEnv({"world": world}, length=3), policy, guessers=guessers, runtime="simulation", **options
    )
    with env:
        for seed in (0, 1):
            play(env, env.act, seed=seed)
    return env


class TestTraces:
    @pytest.mark.parametrize("max_inflight", [0, 4])
    def test_episodes_are_those_of_the_run(self, tmp_path, max_inflight):
        recorded_run(max_inflight=max_inflight).trace.to_jsonl(tmp_path / "trace.jsonl")
        known = read([tmp_path / "trace.jsonl"], calls=30)
        assert known.num_known == len(known.episodes) == 2
        for episode in known.episodes:
            assert [(call.handler, call.seconds) for call in episode] == [("policy", 4.0), ("world", 2.0)] * 3
            assert {call.usage.tokens for call in episode if call.handler == "world"} == {10}

    def test_guessers_are_those_of_the_run(self, tmp_path):
        recorded_run().trace.to_jsonl(tmp_path / "trace.jsonl")
        guessing = read([tmp_path / "trace.jsonl"], calls=30).guessing["policy"]
        assert guessing.rates == (1.0, 0.0)
        assert guessing.seconds == pytest.approx(0.25)
        assert guessing.usage == Usage(tokens_in=7)
        assert {window.claims for window in guessing.windows} == {(0.6, 0.2)}

    def test_recordings_of_handlers_take_turns(self, tmp_path):
        for name in ("policy", "world"):
            recording = Recording()
            handler = record(with_latency(lambda query: query, 0.0), recording)
            for query in range(4):
                handler(query)
            recording.save(tmp_path / f"{name}.jsonl")
        known = read([tmp_path / "policy.jsonl", tmp_path / "world.jsonl"], calls=4)
        assert [[call.handler for call in episode] for episode in known.episodes] == [["policy", "world"] * 2] * 2
        assert "--calls" in known.note

    def test_the_command_reads_them(self, tmp_path):
        recorded_run().trace.to_jsonl(tmp_path / "trace.jsonl")
        data = report(tmp_path / "trace.jsonl", "--episodes", 2)
        assert data["workload"]["guess_rates"] == {"policy": [1.0, 0.0], "world": [1.0, 0.0]}
        assert data["workload"]["seconds"] == 18.0


class TestReport:
    def test_has_all_settings_and_their_figures(self):
        data = report(*QUICK)
        assert {point["k"] for point in data["plan"]} == {1, 2}
        assert len({point["selectivity"] for point in data["plan"]}) >= 5
        for point in data["plan"]:
            assert {"saved", "saved_half", "cost", "cost_half", "saved_at_depth_1", "tokens_at_depth_1"} <= point.keys()
            assert point["cost"] >= 1
        assert all(seconds >= 0 for seconds in data["machinery_s"].values())

    def test_names_the_settings_that_are_wanted(self):
        data = report(*QUICK, "--wanted-saving", 0.2, "--wanted-cost", 2)
        cheapest, best = data["choices"].values()
        assert cheapest["saved"] >= 0.2
        assert all(point["cost"] >= cheapest["cost"] for point in data["plan"] if point["saved"] >= 0.2)
        assert best["cost"] <= 2
        assert all(point["saved"] <= best["saved"] for point in data["plan"] if point["cost"] <= 2)

    def test_says_where_nothing_does_what_is_wanted(self):
        assert "no such setting" in plan(*QUICK, "--wanted-saving", 0.99).output

    def test_prices_make_the_cost_money(self):
        data = report(*QUICK, "--price", 10)
        assert data["workload"]["money"] == pytest.approx(4 * 100 * 10 / 1e6)
        assert all(point["money"] == point["cost"] == pytest.approx(point["tokens_full"]) for point in data["plan"])

    @pytest.mark.parametrize("source", ["figures", "trace"])
    def test_the_cost_is_counted_in_calls_where_no_tokens_are_known(self, source, tmp_path):
        args: tuple[object, ...] = ("--median-s", 4)
        if source == "trace":
            recorded_run(world=with_latency(pure_response, 2.0)).trace.to_jsonl(tmp_path / "trace.jsonl")
            args = (tmp_path / "trace.jsonl",)
        args = (*args, "--guess-rates", "0.6,0.2", "--calls", 4, "--episodes", 2)
        data = report(*args, "--wanted-saving", 0.1)
        assert (data["cost_in"], data["workload"]["tokens"]) == ("calls", None)
        for point in data["plan"]:
            assert point["cost"] == point["calls"] and point["tokens_full"] is point["tokens_at_depth_1"] is None
        assert data["plan"][0]["selectivity"] == 0 and data["plan"][0]["cost"] > 1  # it makes calls in vain
        cheapest = data["choices"]["cheapest for the wanted saving"]
        assert cheapest["selectivity"] > 0 and cheapest["cost"] < data["plan"][0]["cost"]
        text = " ".join(plan(*args).output.split())
        assert "an unknown number of tokens" in text and "unknown: give --tokens" in text
        known = report(*args, "--tokens", 100)
        assert known["cost_in"] == "tokens" and known["plan"][0]["tokens_full"] > 1

    def test_warns_of_few_episodes_only_where_there_are_few(self, tmp_path):
        seconds = tmp_path / "seconds.txt"
        seconds.write_text("3, 4 5\n6\n")
        args = ("--seconds", seconds, *QUICK[2:])
        assert "learned from 1 episodes" in plan(*args).output
        seconds.write_text("3 4 5 6\n" * 20)
        assert "learned" not in plan(*args).output
        assert "learned" not in plan(*QUICK).output


class TestRefusals:
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ((), "say how long calls take"),
            (("--median-s", 3), "give --guess-rates"),
            (("--median-s", 3, "--guess-rates", "0.7,0.6"), "whose sum is at most 1, not '0.7,0.6'"),
            (("--median-s", 3, "--guess-rates", "often"), "such as 0.45,0.15, not 'often'"),
        ],
        ids=["nothing", "no guesses", "too probable", "no numbers"],
    )
    def test_settings(self, args, message):
        result = plan(*args)
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "no episode with at least two calls"),
            ("{}\n", "line 1 is neither an event of a trace"),
            ("nothing\n", "line 1 is neither an event of a trace"),
            ('{"kind": "reset", "time_s": 0.0, "handler": ""}\n', "no episode with at least two calls"),
        ],
        ids=["empty", "object", "text", "no calls"],
    )
    def test_files(self, tmp_path, text, message):
        (tmp_path / "trace.jsonl").write_text(text)
        result = plan(tmp_path / "trace.jsonl")
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())

    def test_seconds_that_are_none(self, tmp_path):
        (tmp_path / "seconds.txt").write_text("3 -1")
        assert "seconds of at least 0" in plan("--seconds", tmp_path / "seconds.txt", "--guess-rates", "0.5").output
