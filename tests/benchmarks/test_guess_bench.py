import json

import pytest
from click.testing import CliRunner

from spec_envs.benchmarks.cli import main
from spec_envs.benchmarks.guess.run import Trial, calibration, is_read, measure, summary
from spec_envs.conversation import (
    AssistantMessage,
    Conversation,
    ToolCall,
    ToolResult,
    Trajectory,
    UserMessage,
    write_trajectories,
)


def trajectory(number: int) -> Trajectory:
    user, order = f"ab_{number}1", f"cd_{number}2"
    events = (
        UserMessage(f"I am {user}."),
        ToolCall("get_user", {"user_id": user}),
        ToolResult({"order": order}),
        AssistantMessage("Shall I cancel it?"),
        UserMessage("Yes, cancel it."),
        ToolCall("cancel_order", {"order_id": order}),
        ToolResult("ok"),
        AssistantMessage("Done."),
    )
    return Trajectory(Conversation(events), str(number))


TRAJECTORIES = [trajectory(number) for number in range(10, 19)]


def run(*arguments):
    return CliRunner().invoke(main, ["bench", "guess", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.jsonl"
    write_trajectories(path, TRAJECTORIES)
    return path


class TestMeasure:
    def test_predicts_every_act_once_and_finds_what_can_be_learned(self):
        trials, _ = measure(TRAJECTORIES, folds=3)
        assert [trial.tool for trial in trials] == ["get_user", None, "cancel_order", None] * len(TRAJECTORIES)
        assert summary(trials)["next_call"]["top1"] > 0.9

    def test_learns_from_another_file_if_there_is_one(self):
        trials, _ = measure(TRAJECTORIES[:1], TRAJECTORIES[1:])
        assert [trial.rank for trial in trials] == [0, None, 0, None]

    def test_never_learns_from_the_task_that_it_predicts(self):
        known, unknown = TRAJECTORIES[:1], [trajectory(50)]
        same = measure([*known, *unknown], folds=2)[0]
        assert [trial.tool for trial in same] == ["get_user", None, "cancel_order", None] * 2
        assert same[:4] != measure(known, known)[0]


class TestSummary:
    TRIALS = [
        Trial("get_user", 0, (0.9, 0.05), True, 0.001),
        Trial("get_user", 3, (0.5, 0.2, 0.1, 0.1), True, 0.002),
        Trial("cancel_order", None, (), False, 0.003),
        Trial(None, None, (0.3,), False, 0.004),
    ]

    def test_counts_calls_by_rank_and_kind(self):
        found = summary(self.TRIALS)
        assert found["counts"] == {"calls": 3, "reads": 2, "writes": 1, "messages": 1}
        overall = {"top1": 1 / 3, "top3": 1 / 3, "top5": 2 / 3, "top8": 2 / 3}
        assert {key: found["next_call"][key] for key in overall} == overall
        assert found["next_call"]["tool_top1"] == 2 / 3
        assert found["next_call"]["reads"] == {"top1": 0.5, "top3": 0.5, "top5": 1.0, "top8": 1.0}
        assert found["next_call"]["by_tool"]["cancel_order"]["calls"] == 1
        assert found["guess_ms"]["median"] == pytest.approx(2.5)

    def test_calibration_is_over_the_first_guesses_also_where_the_agent_answered(self):
        found = summary(self.TRIALS)["calibration"]
        assert found["count"] == 3
        assert found["brier"] == pytest.approx((0.1**2 + 0.5**2 + 0.3**2) / 3)
        assert found["expected_calibration_error"] == pytest.approx((0.1 + 0.5 + 0.3) / 3)
        assert found["all_guesses"]["count"] == 7

    def test_of_nothing_there_are_no_figures(self):
        assert summary([])["next_call"]["top1"] is None
        assert calibration([]) == {"count": 0, "brier": None, "expected_calibration_error": None, "reliability": []}

    @pytest.mark.parametrize(("tool", "read"), [("get_user", True), ("list-all", True), ("cancel", False)])
    def test_a_read_is_known_by_its_name(self, tool, read):
        assert is_read(tool) is read


class TestCommand:
    def test_writes_json(self, file, tmp_path):
        target = tmp_path / "out.json"
        result = run("--trajectories", file, "--folds", 3, "--json", target)
        assert result.exit_code == 0, result.output
        report = json.loads(target.read_text())
        assert set(report) == {"config", "counts", "next_call", "calibration", "guess_ms", "learn_seconds"}
        assert report["counts"]["trajectories"] == report["counts"]["tasks"] == len(TRAJECTORIES)
        assert report["config"]["folds"] == 3

    def test_prints_a_table(self, file):
        result = run("--trajectories", file, "--train", file, "--guesser", "pattern")
        assert result.exit_code == 0, result.output
        assert "cancel_order" in result.output
        assert "expected calibration error" in result.output

    def test_too_few_tasks_for_the_folds(self, file):
        result = run("--trajectories", file, "--folds", 50)
        assert result.exit_code == 2
        assert "--folds 50 needs at least 50 tasks, and there are 9" in result.output

    def test_a_file_without_calls(self, tmp_path):
        path = tmp_path / "empty.jsonl"
        write_trajectories(path, [Trajectory(Conversation((UserMessage("Hi."),)))])
        result = run("--trajectories", path)
        assert result.exit_code == 2
        assert "holds no tool call to predict" in result.output
