"""``spec-envs bench all`` and ``bench compare``: what they write, keep and tell apart."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks import processes
from spec_envs.benchmarks.all import chess, run, search, theory, tools, tuning, units
from spec_envs.benchmarks.all.chess import HEADLINE
from spec_envs.benchmarks.all.compare import comparison
from spec_envs.benchmarks.all.figures import Rows, figure, interval, said, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Unit
from spec_envs.benchmarks.chess import ChessSettings
from spec_envs.benchmarks.chess.run import made_up_game
from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.search import SearchSettings
from spec_envs.benchmarks.tools import ToolsSettings
from spec_envs.benchmarks.tuning import TuningSettings
from tests.benchmarks.reports import report_of

NOTHING = Here((), None, None, stockfish=False, chromium=False, sysbench=False, regression=False, sdk=False)


def game(number: int, **settings: Any) -> Unit:
    chosen = ChessSettings(plies=4, guesses="builtin", **settings)
    return Unit(part="chess", tags=HEADLINE, settings=chosen, items=[f"made up {number}"], name=f"game {number}")


SMALL = [
    game(0),
    game(1),
    Unit(part="tools", tags=tools.HEADLINE, settings=ToolsSettings(tasks=3, learning=2)),
    Unit(part="theory", tags={"depth": "depth 1", "latency": "fixed", "p": 1.0}, items=(0, 2)),
    Unit(
        part="tuning",
        tags=tuning.HEADLINE,
        settings=TuningSettings(mode="lossless", actor="random", guesser="half", windows=4),
        items=[0],
    ),
    Unit(part="search", tags=search.HEADLINE, settings=SearchSettings(), items=[1]),
]


def bench(out: Path, *args: object):
    return CliRunner().invoke(main, ["bench", "all", "--out", str(out), "--jobs", "1", "--quick", *map(str, args)])


@pytest.fixture
def planned(monkeypatch):
    """The units that are planned; a test may change the list."""
    chosen = list(SMALL)
    monkeypatch.setattr(run, "plan", lambda here, settings: chosen)
    monkeypatch.setattr(Here, "found", classmethod(lambda cls, data: NOTHING))
    return chosen


@pytest.fixture
def worked(monkeypatch):
    """The parts whose work was done."""
    done: list[str] = []
    whole = units.run

    def counted(unit: Unit, code: str) -> units.Result:
        done.append(unit.part)
        return whole(unit, code)

    monkeypatch.setattr(units, "run", counted)
    return done


class TestAll:
    def test_writes_results_and_a_report(self, planned, tmp_path):
        result = bench(tmp_path)
        assert result.exit_code == 0, result.output
        report = json.loads((tmp_path / "results.json").read_text())
        assert list(report["environments"]) == ["chess", "retail", "search", "tuning", "tools"]
        for name in ("chess", "search", "tuning", "tools"):
            found = report["environments"][name]
            assert found["lossless"]["value"] == 1 and found["episodes"] >= 1
            assert found["speculative_s"]["value"] <= found["sequential_s"]["value"]
            assert {"saved", "tokens_full", "hit_rate"} <= found.keys()
        low, high = (report["environments"]["chess"]["saved"][side] for side in ("low", "high"))
        assert low <= report["environments"]["chess"]["saved"]["value"] <= high
        assert {row["part"] for row in report["rows"]} == {"chess", "tools", "theory", "tuning", "search"}
        assert report["config"]["seed"] == 0 and report["config"]["versions"]["spec-envs"]
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "<!doctype html>" in page.lower() and '"name":"game 0"' in page
        assert (
            "Stockfish" in result.stdout
            and "apt install stockfish" in result.stdout
            and "apt install stockfish" in page
        )

    def test_prints_how_to_install_what_is_missing_and_whole_headings(self, planned, tmp_path):
        printed = bench(tmp_path).stdout
        assert "spec-envs[tuning]" in printed
        [headings] = [line for line in printed.splitlines() if line.startswith("environment")]
        assert {"episodes", "plain", "speculative", "saved", "lossless"} <= set(headings.split())

    def test_goes_on_with_what_is_kept(self, planned, worked, tmp_path):
        bench(tmp_path)
        first = json.loads((tmp_path / "results.json").read_text())
        assert len(worked) == len(SMALL)
        (kept, *_) = (tmp_path / "units").glob("tools-*.json")
        kept.write_text("{")  # as if the disk had been full
        worked.clear()
        planned[1] = game(1, seed=5)
        bench(tmp_path, "--resume")
        assert sorted(worked) == ["chess", "tools"]
        second = json.loads((tmp_path / "results.json").read_text())
        assert second["rows"][2:] == first["rows"][2:]
        worked.clear()
        bench(tmp_path)
        assert len(worked) == len(SMALL)

    def test_other_code_gives_other_results(self, planned, worked, tmp_path, monkeypatch):
        bench(tmp_path)
        worked.clear()
        monkeypatch.setattr(units, "code", lambda: "another")
        bench(tmp_path, "--resume")
        assert len(worked) == len(SMALL)

    def test_a_unit_that_fails_is_told_and_the_others_are_kept(self, planned, tmp_path):
        planned.append(dataclasses.replace(game(2), items=["missing.json"]))
        result = bench(tmp_path)
        assert result.exit_code == 1 and "missing.json" in result.output
        report = json.loads((tmp_path / "results.json").read_text())
        assert len(report["failed"]) == 1 and report["environments"]["chess"]["episodes"] == 2

    def test_ctrl_c_keeps_what_is_done(self, planned, tmp_path, monkeypatch):
        def interrupted(work: Any, items: Sequence[Any], workers: processes.Workers):
            yield 0, work(items[0])
            raise KeyboardInterrupt

        monkeypatch.setattr(run, "as_done", interrupted)
        result = bench(tmp_path)
        assert result.exit_code == 130 and "1 of 6 units are kept" in result.stdout and "--resume" in result.stdout
        assert not (tmp_path / "results.json").exists()
        assert len(list((tmp_path / "units").iterdir())) == 1

    def test_many_processes_give_the_same_rows(self, planned, tmp_path):
        del planned[2:]
        bench(tmp_path / "one")
        bench(tmp_path / "two", "--jobs", 2)
        one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
        assert one["rows"] == two["rows"] and one["figures"] == two["figures"]

    def test_every_unit_of_the_whole_plan_has_a_file_of_its_own(self):
        for quick in (True, False):
            for here in (NOTHING, dataclasses.replace(NOTHING, stockfish=True, regression=True, sdk=True)):
                whole = [unit for part in run.PARTS.values() for unit in part.plan(here, quick=quick, seed=0)]
                assert {unit.part for unit in whole} >= set(run.ENVIRONMENTS)
                assert len({unit.file_name for unit in whole}) == len(whole)
                assert all(unit.cost_s <= 45 for unit in whole)

    def test_says_what_is_left_out(self):
        assert len(list(NOTHING.missing(quick=True))) == 5
        assert len(list(NOTHING.missing(quick=False))) == 8


class TestParts:
    def test_a_plain_run_is_made_and_the_same_seed_gives_the_same(self):
        for unit in (SMALL[0], SMALL[2], SMALL[4], SMALL[5]):
            work = {"chess": chess, "tools": tools, "tuning": tuning, "search": search}[unit.part].work
            assert work(unit) == work(unit)

    def test_theory_measures_what_the_closed_form_says(self):
        (row, _) = theory.work(SMALL[3])
        assert row["saved"] == pytest.approx(theory.depth_1(1.0)) and row["lossless"] == 1
        (row, _) = theory.work(dataclasses.replace(SMALL[3], tags={**SMALL[3].tags, "depth": "any depth"}))
        assert row["saved"] == pytest.approx(theory.any_depth(1.0))

    def test_the_papers_rule_keeps_guesses_while_their_gain_is_large_enough(self, tmp_path):
        plies = [
            {
                "move": move,
                "actor_seconds": 5,
                "actor_tokens": {"in": 1, "out": 2},
                "guesses": {"3": {"moves": moves, "seconds": 1.0, "tokens": {"in": 1, "out": 1}}},
                "confidence": {"moves": moves, "scores": [20, 80, 50]},
            }
            for move, moves in (("e2e4", ["d2d4", "e2e4", "c2c4"]), ("e7e5", ["c7c5", "e7e5", "c7c6"]))
        ]
        file = tmp_path / "game.json"
        file.write_text(json.dumps({"plies": plies}))
        settings = ChessSettings(plies=2, guesses="recorded", rules="paper", selectivity=0.0)

        def row(dial: float) -> dict[str, Any]:
            tags = {"rule": "the paper's confidence rule", "dial": dial}
            return chess.work(Unit(part="chess", tags=tags, settings=settings, items=[str(file)]))[0]

        # The gains are 0.8, 0.2 * 0.5 and 0.2 * 0.5 * 0.2.
        rows = [row(dial) for dial in (0.9, 0.5, 0.1 - 1e-9, 0.0)]
        assert [sum(each["calls"].values()) for each in rows] == [2, 2, 3, 4]
        assert [each["hits"] for each in rows] == [0, 1, 1, 1]


class TestIntervals:
    def test_hold_the_mean_and_are_the_same_every_time(self):
        values = [0.1, 0.4, None, 0.7, 0.2]
        found = interval(values)
        assert found == interval(values) != interval(values, seed=1)
        low, middle, high = found["low"], found["value"], found["high"]
        assert low is not None and middle is not None and high is not None
        assert middle == pytest.approx(0.35)
        assert 0.1 <= low < middle < high <= 0.7

    def test_one_episode_says_nothing_about_others(self):
        assert interval([0.5]) == {"value": 0.5, "low": None, "high": None}
        assert interval([None])["value"] is None


class TestFigures:
    ROWS = Rows([{"tags": {"k": k}, "saved": k / 10} for k in (1, 1, 2)])

    def test_points_are_means(self):
        points = [self.ROWS.where(k=k).point(k, "saved") for k in self.ROWS.tags("k")]
        assert points == [{"x": 1, "y": 0.1, "low": 0.1, "high": 0.1}, {"x": 2, "y": 0.2}]
        assert self.ROWS.point(0, "unknown") is None

    def test_what_the_paper_says_alone_is_no_figure(self):
        assert figure("x", "", ("x", "y"), [series("ours", [None]), said({1: 0.5})]) == []


def report(saved: Sequence[float]) -> dict[str, Any]:
    rows = [{"part": "chess", "tags": {"figure": "headline"}, "saved": each, "tokens_full": 1.0} for each in saved]
    return {"config": {"seed": 0, "quick": True, "versions": {"chess": "1"}}, "rows": rows, "environments": {}}


class TestCompare:
    def test_tells_changes_from_noise(self):
        def verdicts(second: Sequence[float]) -> dict[str, str]:
            return {each["figure"]: each["verdict"] for each in comparison(report([0.1, 0.2, 0.3]), report(second))}

        assert verdicts([0.15, 0.2, 0.3]) == {"saved": "", "tokens_full": ""}
        assert verdicts([0.5, 0.6, 0.7])["saved"] == "better"
        assert verdicts([0.0, 0.01, 0.02])["saved"] == "WORSE"

    def test_prints_a_table_and_json(self, tmp_path):
        for name, saved in (("a", [0.1, 0.2]), ("b", [0.5, 0.6])):
            (tmp_path / name).mkdir()
            (tmp_path / name / "results.json").write_text(json.dumps(report(saved)))
        args = ["bench", "compare", str(tmp_path / "a"), str(tmp_path / "b" / "results.json")]
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 0, result.output
        assert "better" in result.stdout and "1 of 2 figures changed" in result.stdout
        found = json.loads(CliRunner().invoke(main, [*args, "--json", "-"]).stdout)
        assert [each["figure"] for each in found["figures"]] == ["saved", "tokens_full"]

    def test_refuses_what_holds_no_results(self, tmp_path):
        (tmp_path / "results.json").write_text("{}")
        result = CliRunner().invoke(main, ["bench", "compare", str(tmp_path), str(tmp_path)])
        assert result.exit_code == 2 and "holds no results of bench all" in result.stderr


class TestJobs:
    """Episodes over processes: the same rows, in the same order."""

    def same(self, *args: object) -> None:
        assert report_of(*args) == report_of(*args, "--jobs", 2)

    def test_chess(self, tmp_path):
        made = made_up_game(4, 0)
        plies = [
            {"move": ply.move, "actor_seconds": ply.seconds, "actor_tokens": {"in": 1, "out": 2}} for ply in made.plies
        ]
        games = [tmp_path / f"{name}.json" for name in "ab"]
        for file in games:
            file.write_text(json.dumps({"plies": plies}))
        self.same("chess", "--games", *games, "--plies", 4, "--guesses", "builtin")

    def test_retail(self):
        self.same("retail", "--num-tasks", 2, "--learn", 1)

    def test_tuning(self):
        self.same("tuning", "--seeds", 2, "--guesser", "climb", "--beside", "actor", "--windows", 6)

    def test_a_sweep_runs_its_points_beside_each_other(self):
        self.same("tuning", "--seeds", 1, "--mode", "lossless", "--guesser", "climb", "--sweep", "--windows", 4)

    def test_refuses_what_would_give_other_rows(self):
        for args, why in (
            (["tuning", "--backend", "eevdf", "--clock", "wall"], "they slow each other down"),
            (["retail", "--token-ratio", "2"], "learn from one episode to the next"),
            (["search"], "give --sweep"),
        ):
            result = CliRunner().invoke(main, ["bench", *args, "--jobs", "2"])
            assert result.exit_code == 2 and why in result.stderr and "leave out --jobs" in result.stderr
            result = CliRunner().invoke(main, ["bench", *args, "--ray"])
            assert result.exit_code == 2 and why in result.stderr and "leave out --ray" in result.stderr

    def test_a_file_is_not_an_address(self):
        result = CliRunner().invoke(main, ["bench", "tuning", "--ray", "games.json"])
        assert result.exit_code == 2 and "ray must be an address" in result.stderr


class TestProcesses:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_results_come_in_order(self, jobs):
        assert list(processes.in_order(math.isqrt, [9, 1, 4], processes.Workers(jobs))) == [3, 1, 2]

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_an_error_ends_the_work(self, jobs):
        with pytest.raises(ValueError, match="must be nonnegative"):
            list(processes.as_done(math.isqrt, [1, -1, 2], processes.Workers(jobs)))
