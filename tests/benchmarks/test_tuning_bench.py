"""``spec-envs bench tuning``: what it reports, and what it shows on the simulator."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from spec_envs import extras
from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.tuning import TuningSettings
from spec_envs.benchmarks.tuning.episodes import TuningBench, backend_of, best_values
from spec_envs.benchmarks.tuning.run import below
from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.models import Surface
from spec_envs.tuning.round_robin import RoundRobin

FIGURES = {"p95_20s", "windows_to_10pct", "regret", "settings_tried"}


def bench(*args):
    return CliRunner().invoke(main, ["bench", "tuning", *map(str, args)])


def report(*args):
    result = bench(*args, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def runs(seeds=4, **options):
    settings = TuningSettings(**options)
    backend = backend_of(settings)
    return [TuningBench(settings, backend).run(seed) for seed in range(seeds)]


def mean(rows, name="p95_20s"):
    return sum(getattr(row, name) for row in rows) / len(rows)


class TestCommand:
    @pytest.mark.parametrize("mode", ["actor", "speculator", "lossless", "last-write-wins"])
    def test_reports_every_run_and_the_mean(self, mode):
        found = report("--mode", mode, "--seeds", 2, "--guesser", "climb")
        assert [(row["mode"], row["seed"]) for row in found["runs"]] == [(mode, 0), (mode, 1)]
        for each in (*found["runs"], found["mean"]):
            assert FIGURES <= each.keys()
        assert found["mean"]["p95_20s"] == pytest.approx(sum(row["p95_20s"] for row in found["runs"]) / 2)
        assert all(len(row["curve"]) == 20 for row in found["runs"])
        assert len(found["curve"]["p95"]) == len(found["curve"]["half_interval"]) == 20
        assert found["config"]["service_ms"] == 9.5 and found["config"]["actor_seconds"] == 10.0

    def test_runs_another_mode_beside(self):
        found = report("--seeds", 2, "--guesser", "climb", "--beside", "actor")
        assert found["beside"]["mode"] == "actor" and len(found["beside"]["runs"]) == 2
        assert 0 < found["below"] < 1

    def test_prints_a_table_and_draws_the_curves(self, tmp_path):
        picture = tmp_path / "curves.png"
        result = bench("--seeds", 2, "--guesser", "climb", "--beside", "actor", "--plot", picture)
        assert result.exit_code == 0, result.output
        assert "last-write-wins" in result.stdout and "lossy" in result.stdout
        assert "lossy" not in bench("--seeds", 1, "--mode", "actor").stdout
        assert picture.read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("args", "wrong"),
        [
            (["--backend", "eevdf"], "on which waiting takes real time: give --clock wall"),
            (["--backend", "eevdf", "--clock", "wall", "--knobs", 3], "give --backend simulated"),
            (
                ["--backend", "sqlite", "--clock", "wall"],
                "nobody knows that of --backend sqlite: give a tuner that searches",
            ),
            (["--start", 1000], "start: slice_ms must be a number from 0.1 to 100 ms"),
            (["--mode", "actor", "--beside", "actor"], "--mode and --beside are both actor: name two modes to compare"),
            (["--plot", "curves.docx"], "--plot draws a picture, whose name must end with .png"),
            (["--plot", "-"], "--plot draws a picture, whose name must end with .png"),
        ],
    )
    def test_says_what_does_not_go_together(self, args, wrong):
        result = bench(*args)
        assert result.exit_code == 2 and wrong in result.output

    def test_says_that_scikit_learn_is_missing_before_it_measures(self, monkeypatch):
        monkeypatch.setattr(extras, "_is_installed", lambda name: False)
        result = bench("--seeds", 1)
        assert result.exit_code == 2 and "pip install 'spec-envs[tuning]'" in result.output
        assert bench("--seeds", 1, "--mode", "actor").exit_code == 0  # it knows the optimum, and nobody guesses


class TestFigures:
    def test_the_actor_alone_answers_after_ten_seconds(self):
        rows = runs(mode="actor")
        assert {row.windows_to_10pct for row in rows} == {11} and all(
            row.seconds_to_10pct == pytest.approx(11.1) for row in rows
        )
        assert 72 < mean(rows) < 82

    @pytest.mark.parametrize("guesser", ["gp", "climb"])
    def test_a_guesser_that_sets_the_live_system_is_much_sooner(self, guesser):
        rows = runs(guesser=guesser)
        assert mean(rows) < 0.7 * mean(runs(mode="actor"))
        assert all(row.guessed >= 15 for row in rows)

    def test_the_same_guesser_goes_the_other_way_where_that_is_better(self):
        assert mean(runs(service_ms=0.5, start=8.0)) <= 2.5 < 12 < mean(runs(service_ms=0.5, start=8.0, mode="actor"))

    def test_foreseeing_half_of_the_answers_saves_a_third_and_loses_nothing(self):
        rows = runs(mode="lossless", actor="random", guesser="half")
        assert mean(rows, "saved") >= 0.3 and 0.3 < mean(rows, "hit_rate") < 0.7
        # Without speculation an answer takes 10 s, and so do 19 of them, beside 20 windows.
        saved = [row.saved for row in rows if row.saved is not None]
        assert [row.seconds for row in rows] == [pytest.approx((1 - share) * 210.0, rel=0.01) for share in saved]

    def test_virtual_runs_are_the_same_every_time(self):
        assert runs(2) == runs(2)

    def test_below_is_the_median_of_the_pairs(self):
        rows = runs(2, mode="actor")
        assert below(rows, rows) == 0.0

    def test_the_best_setting_is_the_models(self):
        for workload in (RoundRobin(), RoundRobin(0.5), Surface(6, 1)):
            assert workload.model(best_values(workload)).p95 == pytest.approx(workload.best())

    @pytest.mark.parametrize(
        "options", [{"mode": "both"}, {"windows": 0}, {"actor_seconds": 0}, {"k": 0}, {"guesser": "oracle"}]
    )
    def test_bad_settings_are_refused(self, options):
        with pytest.raises(InvalidConfiguration, match=f"^{next(iter(options))} must be"):
            TuningSettings(**options)
