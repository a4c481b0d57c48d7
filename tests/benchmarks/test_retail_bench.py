"""``spec-envs bench retail``: what it reports, how it counts, and that it refuses what makes no sense."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from spec_envs.agents import PatternGuesser
from spec_envs.benchmarks import checks
from spec_envs.benchmarks.checks import certify_retail
from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.retail.cast import folds_of, in_first_person, tasks_of, typing_seconds
from spec_envs.benchmarks.retail.foresight import api_correct_rate, foreseen
from spec_envs.benchmarks.retail.run import RetailBench, run_plainly, run_speculatively, timed_plainly, typing_of
from spec_envs.benchmarks.serving import ModelServer
from spec_envs.conversation import ToolCall
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.tools.table import READS
from tests.retail.shops import TAU3, needs_tau3
from tests.retail.tau3_files import CANCEL, TRANSFER, entry, written

if TYPE_CHECKING:
    from spec_envs.retail.tasks import Task

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "tau_bench"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="tau-bench's data are not here")


def bench(*args: object):
    return CliRunner().invoke(main, ["bench", "retail", *map(str, args)])


@pytest.fixture(scope="module")
def report() -> dict:
    result = bench("--num-tasks", 4, "--learn", 12, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def guesser() -> PatternGuesser:
    settings = RetailSettings()
    guesser = PatternGuesser(reads=READS)
    guesser.learn([run_plainly(task, settings).trajectory for task in tasks_of(settings, "train")[:15]], seen=False)
    return guesser


class TestReport:
    def test_has_figures_for_each_task_and_their_mean(self, report):
        assert [each["task"] for each in report["tasks"]] == ["test-0", "test-1", "test-2", "test-3"]
        for each in (*report["tasks"], report["mean"]):
            assert each["lossless"] == each["reward"] == 1
            assert each["divergences"] == 0
            assert 0.1 < each["saved"] < each["wait_saved"] < 1
            assert each["tokens_full"] >= each["tokens_partial"] > 1
            assert each["wait_s"] < each["sequential_wait_s"] < each["sequential_s"]
        rates = [each["api_correct_rate"] for each in report["tasks"]]
        assert report["api_correct_rate"] == pytest.approx(sum(rates) / 4) == report["mean"]["api_correct_rate"]
        assert report["mean"]["prefetch_used"] > 0
        assert report["config"]["k"] == 3

    def test_says_how_often_calls_and_messages_were_foreseen(self, report):
        for found in (report["next_call"], report["next_call"]["reads"], report["next_message"]):
            assert 0 < found["top1"] <= found["top3"] <= found["top5"] <= found["top8"] <= 1
        assert report["next_call"]["writes"].keys() == report["next_message"].keys()

    def test_is_the_same_every_time(self):
        first, second = (bench("--num-tasks", 2, "--guesses", "user-model", "--json", "-").stdout for _ in range(2))
        assert first == second

    def test_a_table_without_json(self):
        result = bench("--num-tasks", 1, "--learn", 2, "--guesses", "pattern")
        assert result.exit_code == 0, result.output
        assert "test-0" in result.stdout and "The customer waits" in result.stdout

    def test_without_a_guesser_of_calls_nothing_is_said_of_them(self):
        data = json.loads(bench("--num-tasks", 1, "--learn", 5, "--guesses", "user-model", "--json", "-").stdout)
        assert data["next_call"] is None and data["api_correct_rate"] is None
        assert data["tasks"][0]["api_correct_rate"] is None and data["tasks"][0]["prefetched"] == 0

    def test_a_chat_model_guesses_calls_and_messages(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        with ModelServer("retail") as server:
            served = ("--model", "retail", "--base-url", server.base_url)
            result = bench("--num-tasks", 1, "--learn", 1, "--guesses", "llm", *served, "--json", "-")
        assert result.exit_code == 0, result.output
        (row,) = json.loads(result.stdout)["tasks"]
        assert row["lossless"] == 1 and row["hits"] > 0 and row["wait_saved"] > 0
        assert row["prefetched"] == 0 and server.statistics.tokens_out > 0

    @pytest.mark.parametrize(
        ("base_url", "exit_code", "message"),
        [
            (None, 2, "the environment variable OPENAI_API_KEY must hold the key of m"),
            ("localhost:8000", 2, "base_url must be like http://localhost:8000/v1"),
            ("{server}", 1, r"status 404 \(Not Found\): the model 'm' does not exist; this server has 'retail'"),
        ],
    )
    def test_a_chat_model_that_gives_no_answer_is_told_before_anything_is_run(
        self, base_url, exit_code, message, monkeypatch
    ):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        with ModelServer("retail") as server:
            given = () if base_url is None else ("--base-url", base_url.replace("{server}", server.base_url))
            result = bench("--guesses", "llm", "--model", "m", *given, "--json", "-")
        assert result.exit_code == exit_code and result.stdout == ""
        assert re.search(message, result.stderr), result.stderr

    def test_wall_clock_gives_the_same_conversation(self):
        args = ("--num-tasks", 1, "--learn", 2, "--clock", "wall", "--speed", 2000, "--json", "-")
        data = json.loads(bench(*args).stdout)
        assert data["tasks"][0]["lossless"] == 1

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (("--tasks", "tau-bench"), "--tasks tau-bench needs --data"),
            (("--tasks", "tau3"), "--tasks tau3 needs --data"),
            (("--data", "."), "give --tasks tau-bench or --tasks tau3, or leave out --data"),
            (("--split", "train"), "give --folds to learn from a part of them"),
            (("--split", "nonsense"), "has no tasks of split 'nonsense'"),
            (("--tasks", "tau-bench", "--data", "."), "which holds none; name the file with the tasks"),
            (("--guesses", "llm"), "--guesses llm needs --model NAME"),
            (("--model", "x"), "--guesses union has no chat model: give --guesses llm, or leave out --model"),
            (("--base-url", "http://x/v1"), "give --guesses llm and --model NAME, or leave out --base-url"),
            (("--num-tasks", 2, "--folds", 9), "--folds 9 needs at least 9 customers, and there are 2"),
            (("--num-tasks", 61), "--num-tasks 61, and split test has 60: give at most as many"),
            (("--token-ratio", 2, "--selectivity", 0.5), "--selectivity and --token-ratio each say"),
            (("--money-per-s", 1, "--selectivity", 0), "--selectivity and --money-per-s each say"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, args, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = bench(*args, "--json", "-")
        assert result.exit_code == 2
        assert message in result.output


class TestTime:
    def test_without_speculation_everything_takes_its_time(self):
        settings = RetailSettings(num_tasks=1, max_inflight=0)
        ((_, (task,)),) = folds_of(settings)
        plain = run_plainly(task, settings)
        run = run_speculatively(task, settings, {}, plain)
        assert [run.wait_saved, run.saved] == pytest.approx([0, 0])
        assert (run.tokens_full, run.lossless) == (1, 1)
        typing = typing_of(plain.trajectory, settings)
        waits = timed_plainly(task, settings).seconds - typing
        calls = sum(isinstance(event, ToolCall) for event in plain.trajectory.conversation.events)
        assert run.speculative_s == pytest.approx(typing + waits)
        assert waits == pytest.approx(plain.steps * 5.0 + calls * 0.5)

    def test_typing_takes_as_long_as_words_do(self):
        assert typing_seconds("No, that was everything. ###STOP###", RetailSettings()) == 6.0
        assert typing_seconds("one two", RetailSettings(typing_wpm=60)) == 2.0

    @pytest.mark.parametrize("name", ["actor_seconds", "tool_seconds", "typing_wpm", "speed"])
    def test_times_are_checked(self, name):
        wrong: dict[str, Any] = {name: -1.0}
        with pytest.raises(InvalidConfiguration, match=name):
            RetailSettings(**wrong)


class TestApiCorrectRate:
    def test_counts_calls_that_were_predicted_before_the_message(self, guesser):
        """The third test task: order #W… is said at once, and everything about it can be known before the e-mail."""
        settings = RetailSettings()
        plain = run_plainly(tasks_of(settings)[2], settings)
        many = api_correct_rate(guesser, plain.trajectory, plain.start, 5)
        few = api_correct_rate(guesser, plain.trajectory, plain.start, 1)
        assert few is not None and many is not None
        assert 0 < few < many <= 1

    def test_predicts_so_many_calls_and_goes_on_from_real_results(self, guesser):
        settings = RetailSettings()
        plain = run_plainly(tasks_of(settings)[2], settings)
        before = plain.trajectory.conversation.until(2)  # while the customer tells who it is
        named = foreseen(guesser, before, plain.start, 3)
        assert len(named) == 3
        calls = {event.key for event in plain.trajectory.conversation.events if isinstance(event, ToolCall)}
        assert any(
            key.startswith("get_user_details") for key in named & calls
        )  # only the order's record says who it is

    def test_is_nothing_without_calls(self, guesser):
        settings = RetailSettings()
        plain = run_plainly(tasks_of(settings)[2], settings)
        assert (
            api_correct_rate(guesser, type(plain.trajectory)(plain.trajectory.conversation.until(1)), plain.start, 5)
            is None
        )


class TestFolds:
    def test_no_customer_is_learned_from_and_served(self):
        settings = RetailSettings(folds=3, num_tasks=30)
        served: list[Task] = []
        for known, tasks in folds_of(settings):
            assert not {task.user_id for task in known} & {task.user_id for task in tasks}
            served += tasks
        assert sorted(task.name for task in served) == sorted(task.name for task in tasks_of(settings)[:30])

    def test_the_generated_shop_is_learned_from_its_train_split(self):
        ((known, tasks),) = folds_of(RetailSettings(learn=7))
        assert {task.split for task in known} == {"train"} and len(known) == 7
        assert {task.split for task in tasks} == {"test"} and len(tasks) == 60


class TestTauBench:
    def test_an_instruction_becomes_what_the_customer_says(self):
        said = in_first_person("You are Mia Li. You want your money back, and you're sad. Your zip is 1.")
        assert said == "I am Mia Li. I want my money back, and I'm sad. My zip is 1."

    @needs_data
    def test_gold_actions_are_replayed_with_speculation(self):
        settings = RetailSettings(tasks="tau-bench", data=DATA, num_tasks=8, folds=2, learn=1)
        runs = list(RetailBench(settings).run())
        assert len(runs) == 8
        assert all(run.lossless for run in runs)
        assert sum(run.wait_saved for run in runs) > 0


class TestTau3:
    def test_gold_actions_are_replayed_with_speculation(self, tmp_path):
        look_up = {"name": "get_order_details", "arguments": {"order_id": "#W5"}}  # another customer's order
        folder = written(tmp_path, entry("0", actions=[CANCEL, TRANSFER]), entry("1", actions=[TRANSFER, look_up]))
        settings = RetailSettings(tasks="tau3", data=folder, split="all", folds=2, learn=1)
        runs = list(RetailBench(settings).run())
        assert [(run.task, run.reward, run.lossless) for run in runs] == [("0", 1.0, True), ("1", 1.0, True)]

    def test_the_tasks_have_to_be_those_that_were_named(self, tmp_path):
        folder = written(tmp_path, entry("0"))
        with pytest.raises(InvalidConfiguration, match="has tasks of the other benchmark: give --tasks tau3"):
            tasks_of(RetailSettings(tasks="tau-bench", data=folder, split="all"))

    def test_speculation_is_lossless(self, tmp_path):
        folder = written(tmp_path, entry("0", reason="You changed your mind."), entry("1", actions=[TRANSFER, CANCEL]))
        certificate = certify_retail(range(2), learn=1, data=str(folder))
        assert certificate, str(certificate)

    @needs_tau3
    def test_its_own_tasks(self):
        settings = RetailSettings(tasks="tau3", data=TAU3, split="all", num_tasks=6, folds=2, learn=2)
        runs = list(RetailBench(settings).run())
        assert all(run.lossless and run.reward == 1.0 for run in runs) and len(runs) == 6
        certificate = certify_retail(range(2), learn=2, data=str(TAU3), tasks=str(TAU3 / "tasks_train.json"))
        assert certificate, str(certificate)


def test_speculation_is_lossless_for_customers():
    certificate = certify_retail(range(3), learn=5)
    assert certificate, str(certificate)


def test_certify_is_a_command():
    result = CliRunner().invoke(main, ["retail", "certify", "--seeds", "1", "--learn", "2"])
    assert (result.exit_code, result.stdout) == (0, "lossless on 1 seed(s)\n")


def test_the_command_fails_where_nothing_was_compared(monkeypatch):
    def silent(settings: RetailSettings) -> Any:
        def customer(query: object) -> str:
            raise ConnectionError("no line")

        return customer

    monkeypatch.setattr(checks, "customer_of", silent)
    result = CliRunner().invoke(main, ["retail", "certify", "--seeds", "2", "--learn", "1"])
    assert result.exit_code == 1
    assert re.fullmatch(
        r"(failed alike|nothing was compared).* 2 seed\(s\).*ConnectionError: no line\)\n", result.stdout
    )
