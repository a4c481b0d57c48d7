"""``spec-envs bench search``: what it reports, that it agrees with the record, and what it saves."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.search import SearchSettings
from spec_envs.benchmarks.search.run import Case, SearchBench, mean, pairs
from spec_envs.errors import InvalidConfiguration
from spec_envs.search.recordings import load_episodes

from ..search.episodes import record

RECORDS = Path(__file__).parents[2] / ".." / "shared" / "data" / "hotpotqa_react" / "trajectories.json"
needs_records = pytest.mark.skipif(not RECORDS.is_file(), reason="the recorded episodes are not here")


def bench(*args):
    return CliRunner().invoke(main, ["bench", "search", *map(str, args)])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "episodes.json"
    path.write_text(json.dumps([record(), record(id="two", guesser="other")]), encoding="utf-8")
    return path


class TestCommand:
    @pytest.mark.parametrize("guesses", ["recorded", "free", "union"])
    def test_reports_what_became_of_each_episode(self, file, guesses):
        result = bench("--episodes", file, "--guesses", guesses, "--json", "-")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert [each["episode"] for each in report["episodes"]] == ["one", "two"]
        for each in (*report["episodes"], report["mean"]):
            assert each["lossless"] == 1 and each["divergences"] == 0
            assert {
                "saved",
                "hit_rate",
                "tokens_full",
                "tokens_partial",
                "calls",
                "guesses",
                "top1",
                "top3",
            } <= each.keys()
            assert each["saved"] == pytest.approx(1 - each["speculative_s"] / each["sequential_s"], abs=0.05)
        assert report["config"]["guesses"] == guesses and report["config"]["agent_seconds"] == 8.0
        assert len(report["pairs"]) == (2 if guesses != "free" else 1)

    def test_slow_pages_are_guessed_from_a_copy(self, file):
        def saved(*args):
            result = bench("--episodes", file, "--page-seconds", 5, "--agent-seconds", 2, "--json", "-", *args)
            mean = json.loads(result.stdout)["mean"]
            assert mean["lossless"] == 1
            return mean["saved"], mean["sequential_s"]

        (without, seconds), (with_copy, same) = saved("--pages", "none"), saved("--pages", "copy")
        assert with_copy > without and same == seconds

    def test_counts_the_recorded_guesses(self, file):
        report = json.loads(bench("--episodes", file, "--guesses", "recorded", "--json", "-").stdout)
        one = report["episodes"][0]
        # The first action was the second guess; of the five after it three were the first guess.
        assert (one["first_top1"], one["first_top3"], one["top1"], one["top3"]) == (0, 1, 0.6, 0.6)

    def test_equal_seeds_give_equal_reports_and_others_other_times(self, file):
        one, again, other = (bench("--episodes", file, "--seed", seed, "--json", "-").stdout for seed in (1, 1, 2))
        assert one == again != other

    def test_is_a_table_without_json(self, file):
        result = bench("--episodes", file)
        assert result.exit_code == 0
        assert "mean" in result.stdout and "top3" in result.stdout and "instead of" in result.stdout
        assert result.stderr == ""

    def test_refuses_a_file_without_episodes(self, tmp_path):
        path = tmp_path / "none.json"
        path.write_text("[]", encoding="utf-8")
        result = bench("--episodes", path)
        assert result.exit_code == 2 and "none.json holds no episode" in result.stderr

    def test_runs_on_the_wall_clock(self, file):
        result = bench("--episodes", file, "--clock", "wall", "--speed", 500, "--json", "-")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["mean"]["lossless"] == 1

    @pytest.mark.parametrize(
        ("args", "what"),
        [
            (
                ["--episodes", "embedded", "--guesses", "union"],
                "--guesses union needs recorded guesses: give --episodes FILE",
            ),
            (["--episodes", "nowhere.json"], "nowhere.json"),
            (["--episodes", "embedded", "--agent-seconds", 0], "agent-seconds"),
        ],
    )
    def test_refuses_what_it_cannot_run(self, args, what):
        result = bench(*args)
        assert result.exit_code == 2
        assert what in result.output

    @pytest.mark.parametrize("wrong", [{"k": 0}, {"guesses": "x"}, {"agent_seconds": 0.0}, {"max_inflight": -1}])
    def test_settings_name_what_is_wrong(self, wrong):
        with pytest.raises(InvalidConfiguration, match=next(iter(wrong))):
            SearchSettings(**wrong)


class TestGeneratedQuestions:
    def test_the_scripted_agent_gains_half_of_its_time(self):
        settings = SearchSettings()
        cases = Case.embedded(settings)[:20]
        runner = SearchBench(cases, settings)
        figures = mean([runner.run(case) for case in cases])
        assert figures["lossless"] == 1
        assert figures["saved"] >= 0.4 and figures["top3"] >= 0.6


@needs_records
class TestRecordedEpisodes:
    def test_recorded_guesses_agree_with_a_direct_count(self):
        counts: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0])
        for episode in json.loads(RECORDS.read_text()):
            for step in episode["steps"][1:]:
                guessed = [guess.lower() for guess in step["guessed_actions"]]
                count = counts[episode["agent"], episode["guesser"], episode["k"]]
                count[0] += 1
                count[1] += step["action"].lower() in guessed[:1]
                count[2] += step["action"].lower() in guessed[:3]
        found = pairs(run_all(SearchSettings(guesses="recorded")))
        assert len(found) == len(counts)
        for each in found:
            total, first, three = counts[each["agent"], each["guesser"], each["k"]]
            assert each["top1"] == pytest.approx(first / total)
            assert each["top3"] == pytest.approx(three / total)

    @pytest.mark.parametrize(("places", "least"), [(8, 0.16), (1000, 0.18)])
    def test_recorded_guesses_save(self, places, least):
        figures = mean(run_all(SearchSettings(guesses="recorded", max_inflight=places)))
        assert figures["saved"] >= least and figures["lossless"] == 1

    @pytest.mark.parametrize(("guesses", "least"), [("free", 0.22), ("union", 0.34)])
    def test_free_guesses_save_on_episodes_that_their_weights_do_not_know(self, guesses, least):
        figures = mean(run_all(SearchSettings(guesses=guesses, selectivity=0)))  # fitted to generated questions alone
        assert figures["lossless"] == 1
        assert figures["saved"] >= least
        assert figures["first_top3"] >= 0.5 and figures["top3"] >= 0.25


def run_all(settings):
    cases = Case.recorded(load_episodes(RECORDS), settings)
    runner = SearchBench(cases, settings)
    return [runner.run(case) for case in cases]
