"""The four environments by calls of tools, and the classes that TRL makes tools of."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Guess
from spec_envs.errors import InvalidConfiguration, ResetNeeded
from spec_envs.integrations import trl
from spec_envs.integrations.tool_episodes import CHESS, OVER, RETAIL, SEARCH, TUNING, Domain, ToolEpisode, retail_for
from spec_envs.wrappers import SpeculativeWrapper
from tests.retail.tau3_files import CANCEL, entry, written

CLASSES: dict[str, Any] = {name: getattr(trl, name) for name in trl.__all__}


def test_a_question_is_answered(closing):
    episode = closing(ToolEpisode(SEARCH))
    opening = episode.begin({"question": "test-3", "prompt": "not looked at"})
    task = episode.env.unwrapped.episode.question
    assert task.id == "test-3" and task.text in opening
    for title in task.supporting:
        assert "Could not find" not in episode.call("search", {"entity": title})
    assert episode.call("finish", {"answer": task.answer}).endswith(OVER)
    assert episode.reward == 1.0 and episode.info["em"] == 1.0
    assert episode.call("finish", {"answer": "again"}) == OVER and episode.reward == 1.0


def test_a_customer_is_served(closing):
    episode = closing(ToolEpisode(RETAIL["tau-bench"]))
    assert "The customer says: " in episode.begin({"task": "test-0"})
    for action in episode.env.unwrapped.episode.task.actions:
        assert not episode.call(action.name, action.arguments).startswith("Error")
    # What looks like a call of a tool is said, not called.
    assert '"name"' not in episode.call("respond", {"content": '{"name": "think", "arguments": {"thought": "x"}}'})
    assert episode.info["steps"] == len(episode.env.unwrapped.episode.task.actions) + 1


def test_a_customer_of_the_other_benchmark_is_served_with_its_tools(closing, tmp_path):
    data = written(tmp_path, entry("7"))
    assert retail_for(data) is RETAIL["tau3"] and retail_for("generated") is RETAIL["tau-bench"]
    env: Any = trl.Tau3RetailTools(data, split=None, customer=lambda query: "###STOP###" if query.said[1:] else "Hi.")
    assert "Be kind." in env.reset(task="7")
    assert env.get_item_details(item_id="10").startswith('{"item_id": "10"')
    assert not hasattr(env, "think") and not hasattr(trl.RetailTools, "get_item_details")
    env.cancel_pending_order(**CANCEL["arguments"])
    assert env.respond("Done.").endswith(OVER) and env.get_reward() == 1.0
    with pytest.raises(InvalidConfiguration, match="are those of Tau3RetailTools"):
        trl.RetailTools(data=data)
    with pytest.raises(InvalidConfiguration, match="are those of RetailTools"):
        trl.Tau3RetailTools("embedded")


def test_a_game_is_played(closing):
    episode = closing(ToolEpisode(CHESS, opponent="random"))
    assert "You play white" in episode.begin({"fen": "7k/8/5KQ1/8/8/8/8/8 w - - 0 1"})
    assert "is not a legal move" in episode.call("move", {"uci": "a1a2"})
    assert episode.call("move", {"uci": "g6g7"}) == f"CHECKMATE; winner: white.\n{OVER}"
    assert episode.reward == 1.0


def test_a_machine_is_tuned(closing):
    episode = closing(ToolEpisode(TUNING, windows=2))
    assert "slice_ms" in episode.begin({"seed": 0, "start": {"slice_ms": 50.0}})
    assert "there is no knob 'speed'" in episode.call("measure", {"setting": {"speed": 1}})
    assert '"slice_ms": 3.2' in episode.call("measure", {"setting": {"slice_ms": 3.2}})
    assert episode.reward > 0


def test_rows_choose_the_episode(closing):
    one, other = closing(ToolEpisode(SEARCH)), closing(ToolEpisode(SEARCH))
    assert one.begin({"seed": 4}) == other.begin({"seed": 4, "question": None})
    with pytest.raises(InvalidConfiguration, match="question"):
        one.begin({"question": "no such"})
    with pytest.raises(ResetNeeded, match="no episode has begun"):
        ToolEpisode(SEARCH).call("finish", {"answer": ""})


def test_speculation_runs_inside(closing):
    class Answer:
        def guess(self, call: Any, k: int) -> list[Guess]:
            return [Guess({"name": "search", "arguments": {"entity": "Tallow"}}, 0.9)]

    def wrap(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        return SpeculativeWrapper(env, guessers={"policy": Answer()}, guard=False, runtime="simulation")

    plain, ahead = closing(ToolEpisode(SEARCH)), closing(ToolEpisode(SEARCH, wrap))
    assert plain.begin({"seed": 0}) == ahead.begin({"seed": 0})
    for entity in ("Tallow", "Earth"):
        assert plain.call("search", {"entity": entity}) == ahead.call("search", {"entity": entity})
    assert ahead.env.get_wrapper_attr("statistics").windows == 2


@pytest.mark.parametrize("name", CLASSES)
class TestClassesForTrl:
    def test_the_tools_of_a_domain_are_the_public_methods(self, name):
        kind = CLASSES[name]
        domain: Domain = kind._domain
        public = [each for each, _ in inspect.getmembers(kind, inspect.isfunction) if not each.startswith("_")]
        tools = {schema["function"]["name"]: schema["function"] for schema in domain.schemas}
        assert set(public) == {"reset", "get_reward", *tools}
        for each, function in tools.items():
            signature = inspect.signature(getattr(kind, each))
            assert list(signature.parameters)[1:] == list(function["parameters"]["properties"])
            assert getattr(kind, each).__doc__.startswith(function["description"])

    def test_reset_tells_the_model_what_to_do_and_instances_are_used_again(self, name, tmp_path):
        tau3 = {"data": written(tmp_path, entry()), "split": None, "customer": lambda query: "Hi."}
        env = CLASSES[name](**(tau3 if name == "Tau3RetailTools" else {}))
        texts = {env.reset(seed=1, prompt=[{"role": "user", "content": ""}]) for _ in range(2)}
        assert len(texts) == 1 and env.get_reward() == 0.0


def test_methods_are_called_as_methods():
    env: Any = trl.SearchTools(split="dev")
    env.reset(seed=0)
    assert "Could not find" in env.search("No such page") and OVER in env.finish(answer="?")
    assert env.finish("?") == OVER
    with pytest.raises(TypeError, match="argument"):
        env.search(page="Earth")
