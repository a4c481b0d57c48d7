"""Retail and search as tasks of inspect-ai, played by its mock model, and its tools behind ``SpeculativeTools``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spec_envs import Effect, Guess
from spec_envs.agents import SearchGuesser
from spec_envs.retail.loading import load_tasks
from spec_envs.search.loading import load_questions
from spec_envs.wrappers import SpeculativeTools, SpeculativeWrapper
from tests.retail.tau3_files import CANCEL, entry, written

inspect_ai: Any = pytest.importorskip("inspect_ai", reason="needs the extra inspect: make hubs")
model: Any = pytest.importorskip("inspect_ai.model")
tool: Any = pytest.importorskip("inspect_ai.tool")
from spec_envs.integrations.inspect_tasks import retail, search, speculative_tool  # noqa: E402

pytestmark = [pytest.mark.hubs, pytest.mark.filterwarnings("ignore")]

NAME = "mockllm/model"


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its count of tokens fetches a file from the network, also for the mock model."""
    monkeypatch.setattr("inspect_ai.model._model.count_text_tokens", len)


def calls(*calls: tuple[str, dict[str, Any]]) -> list[Any]:
    return [model.ModelOutput.for_tool_call(NAME, name, arguments) for name, arguments in calls]


def played(task: Any, outputs: list[Any], tmp_path: Any) -> Any:
    mock = model.get_model(NAME, custom_outputs=outputs)
    (log,) = inspect_ai.eval(task, model=mock, log_dir=str(tmp_path), display="none", max_samples=1)
    assert log.status == "success", log.error
    return log


def scores_of(log: Any) -> list[dict[str, Any]]:
    return [next(iter(sample.scores.values())).value for sample in log.samples]


def test_tasks_are_found_by_their_names(tmp_path):
    """As `inspect eval spec_envs/search` finds them."""
    mock = model.get_model(NAME, custom_outputs=calls(("finish", {"answer": "something"})))
    args = {"limit": 1}
    (log,) = inspect_ai.eval("spec_envs/search", model=mock, task_args=args, log_dir=str(tmp_path), display="none")
    assert log.status == "success" and log.eval.task == "spec_envs/search"


def test_questions_are_answered_and_scored(tmp_path):
    first, second, *_ = load_questions("embedded", "dev")
    outputs = calls(
        ("search", {"entity": first.supporting[0]}),
        ("finish", {"answer": first.answer}),
        ("finish", {"answer": "something else"}),
    )
    log = played(search(limit=2), outputs, tmp_path)
    assert [sample.id for sample in log.samples] == [first.id, second.id]
    assert scores_of(log)[0] == {"em": 1.0, "f1": 1.0} and scores_of(log)[1]["em"] == 0.0
    assert any("The episode has ended." in message.text for message in log.samples[0].messages)


def test_a_model_that_stops_has_no_answer(tmp_path):
    outputs = [model.ModelOutput.from_content(NAME, "I give up.")]
    assert scores_of(played(search(limit=1), outputs, tmp_path)) == [{"em": 0.0, "f1": 0.0}]


def test_customers_are_served_and_scored(tmp_path):
    task = load_tasks("embedded", "dev")[0]
    gold = [(action.name, dict(action.arguments)) for action in task.actions]
    said = [model.ModelOutput.from_content(NAME, f"Done: {', '.join(task.outputs)}.") for _ in range(20)]
    log = played(retail(limit=1), [*calls(*gold), *said], tmp_path)
    assert scores_of(log)[0]["database"] == 1.0
    heard = [message for message in log.samples[0].messages if message.role == "user"]
    assert len(heard) > 1  # the customer has answered the model's texts


def test_customers_of_tau3_bench_are_served_with_its_tools_and_scored(tmp_path):
    data = written(tmp_path, entry("7", nl_assertions=["The agent is kind."], reward_basis=["DB", "NL_ASSERTION"]))
    outputs = [*calls(("get_item_details", {"item_id": "10"}), (CANCEL["name"], CANCEL["arguments"]))]
    outputs.append(model.ModelOutput.from_content(NAME, "Done."))
    customer = lambda query: "###STOP###" if query.said[1:] else "Cancel #W2."  # noqa: E731
    log = played(retail(split=None, data=str(data), customer=customer), outputs, tmp_path)
    assert log.samples[0].id == "7" and scores_of(log) == [{"reward": 1.0, "database": 1.0}]
    (score,) = log.samples[0].scores.values()
    assert score.metadata == {"parts": {"DB": True, "NL_ASSERTION": None}, "unscored": ["NL_ASSERTION"]}
    assert any(message.text.startswith('{"item_id": "10"') for message in log.samples[0].messages)


def test_speculation_within_a_task_changes_nothing(tmp_path):
    made: list[Any] = []

    def wrap(env: Any) -> Any:
        made.append(SpeculativeWrapper(env, guessers={"policy": SearchGuesser()}, guard=False))
        return made[-1]

    (first, *_) = load_questions("embedded", "dev")
    steps = [("search", {"entity": title}) for title in first.supporting]
    outputs = calls(*steps, ("finish", {"answer": first.answer}))
    plain, ahead = (played(search(limit=1, wrap=each), list(outputs), tmp_path) for each in (None, wrap))
    assert [message.text for message in plain.samples[0].messages] == [
        message.text for message in ahead.samples[0].messages
    ]
    assert made[-1].statistics.windows > 0


def test_a_tool_of_inspect_is_called_ahead():
    asked: list[str] = []

    @tool.tool
    def weather() -> Any:
        async def execute(city: str) -> str:
            """Tell the weather.

            Args:
                city: The city.
            """
            asked.append(city)
            return f"rain in {city}"

        return execute

    class Foresight:
        def guess(self, call: Any, k: int) -> list[Guess]:
            return [Guess({"name": "weather", "arguments": {"city": "Oslo"}}, 0.9)]

    async def main() -> None:
        async with SpeculativeTools({"weather": Effect.READ}, Foresight()) as tools:
            wrapped = speculative_tool(tools, weather())
            known, same = tool.ToolDef(wrapped), tool.ToolDef(weather())
            assert (known.name, known.description) == (same.name, same.description)
            assert known.parameters == same.parameters
            async with tools.run("What is the weather in Oslo?"):
                await tools.settle()
                assert asked == ["Oslo"]  # before anybody called it
                assert await wrapped(city="Oslo") == "rain in Oslo"
                assert await wrapped(city="Bergen") == "rain in Bergen"
            assert asked == ["Oslo", "Bergen"] and tools.statistics.hits == 1

    asyncio.run(main())
