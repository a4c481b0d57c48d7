"""Tasks of τ³-bench on a made-up shop: how they are read, how their episodes end, and what counts for their score."""

from __future__ import annotations

import json
from typing import Any, cast

import gymnasium as gym
import pytest

from spec_envs import CancelToken
from spec_envs.agents import ChatJudge
from spec_envs.agents.llm import ChatRequest, Completion
from spec_envs.benchmarks.checks import write_replay
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.forking import fork
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.queries import GREETING, JudgeQuery
from spec_envs.retail.tasks import Action, customer_in
from tests.retail.shops import tau3_shop
from tests.retail.tau3_files import CANCEL, TRANSFER, entry, written


def made(folder: Any, *entries: Any, stop: str = "###STOP###", **options: Any) -> Any:
    """The environment of these tasks, with a customer who hangs up on "Bye."."""
    written(folder, *entries)
    customer = lambda query: stop if "Bye." in query.said[-1] else "Hm."  # noqa: E731
    return gym.make("SpecRetail-v0", data=folder, split=None, customer=customer, **options).unwrapped


def played(env: Any, *actions: Any) -> tuple[float, bool, dict[str, Any]]:
    """Reward, end and info after the last of the actions; nothing ends before it."""
    env.reset(seed=0)
    reward, terminated, info = 0.0, False, {}
    for action in actions:
        assert not terminated
        _, reward, terminated, _, info = env.step(action)
    return reward, terminated, info


class TestReading:
    def test_tasks(self, tmp_path):
        (task,) = load_tasks(written(tmp_path, entry("7")) / "tasks.json")
        assert (
            task.instruction
            == "Why you contact the shop: You want to cancel order #W2.\nWhat you know: You are Ann Lee."
        )
        assert (task.name, task.user_id, customer_in(tau3_shop(), task)) == ("7", "", "ann_lee_1")
        assert task.actions == (Action(CANCEL["name"], CANCEL["arguments"]),)

    def test_splits(self, tmp_path):
        splits: dict[Any, list[str]] = {"train": ["0"], "test": ["1"], "base": ["0", "1"]}
        path = written(tmp_path, *map(entry, "012"), splits=splits) / "tasks.json"
        names = {split: [task.name for task in load_tasks(path, split)] for split in (*splits, None)}
        assert names == {**splits, None: ["0", "1", "2"]}
        assert [task.split for task in load_tasks(path)] == ["train", "test", ""]
        with pytest.raises(InvalidConfiguration, match="no tasks of split 'dev'; split_tasks.json has 'train', 'test'"):
            load_tasks(path, "dev")
        (tmp_path / "split_tasks.json").unlink()
        with pytest.raises(InvalidConfiguration, match="there is no split_tasks.json beside it"):
            load_tasks(path, "test")

    @pytest.mark.parametrize(
        ("task", "words"),
        [
            (entry(reward_basis=["DB", "STYLE"]), "parts of a score"),
            (entry(env_assertions=[{"func_name": "f"}]), "'env_assertions' must be empty"),
            (entry(actions=[{**CANCEL, "requestor": "user"}]), "who has no tools"),
            ({**entry(), "initial_state": {}}, "'initial_state' must be null"),
            ({"user_scenario": {}}, "'id' is missing"),
        ],
    )
    def test_what_cannot_be_played(self, tmp_path, task, words):
        with pytest.raises(InvalidConfiguration, match=f"tasks.json, task 0: .*{words}|{words}"):
            load_tasks(written(tmp_path, task) / "tasks.json")

    def test_tasks_with_the_data_of_another_benchmark(self, tmp_path):
        tasks = load_tasks(written(tmp_path, entry()) / "tasks.json")
        with pytest.raises(InvalidConfiguration, match="the tasks are those of τ³-bench"):
            gym.make("SpecRetail-v0", tasks=tasks)

    def test_what_the_agent_sees(self, tmp_path):
        env = made(tmp_path, entry())
        observation, info = env.reset(seed=0)
        assert observation["policy"] == "Be kind." and "get_item_details" in observation["tools"]
        assert info["task"] == "0"


class TestEnds:
    @pytest.mark.parametrize("stop", ["###STOP###", "Thanks ###TRANSFER###", "###OUT-OF-SCOPE###"])
    def test_the_customer_ends_the_episode(self, tmp_path, stop):
        env = made(tmp_path, entry(), stop=stop)
        assert played(env, CANCEL, "Bye.")[:2] == (1.0, True) and env.episode.outcome == "stop"

    def test_a_transfer_does_not(self, tmp_path):
        reward, terminated, info = played(made(tmp_path, entry()), TRANSFER, CANCEL)
        assert (reward, terminated, info["outcome"]) == (0.0, False, None)

    def test_a_customer_who_only_hangs_up(self, tmp_path):
        written(tmp_path, entry())
        options: Any = {"data": tmp_path, "split": None, "customer": lambda query: "###TRANSFER###"}
        env = gym.make("SpecRetail-v0", **options).unwrapped
        assert played(env, CANCEL)[:2] == (0.0, True)  # the action is not taken any more


class TestScore:
    @pytest.mark.parametrize(
        ("criteria", "taken", "parts"),
        [
            ({}, [CANCEL], {"DB": True}),
            ({}, [], {"DB": False}),
            ({"actions": []}, [CANCEL], {"DB": False}),
            ({"actions": None}, [CANCEL], {"DB": True}),  # nothing to compare the data with
            ({"actions": None, "env_assertions": []}, [CANCEL], {"DB": False}),
            ({"reward_basis": []}, [], {}),
            ({"communicate_info": ["1234"]}, [CANCEL], {"DB": True}),  # does not count
            (
                {"communicate_info": ["1234"], "reward_basis": ["DB", "COMMUNICATE"]},
                [CANCEL, "It is 1,234."],
                {"DB": True, "COMMUNICATE": True},
            ),
            ({"communicate_info": ["1234"], "reward_basis": ["COMMUNICATE"]}, ["It is."], {"COMMUNICATE": False}),
            (
                {"communicate_info": ["help you"], "reward_basis": ["COMMUNICATE"]},
                [],
                {"COMMUNICATE": True},
            ),  # greeting
            ({"reward_basis": ["ACTION"]}, [CANCEL], {"ACTION": True}),
            ({"reward_basis": ["ACTION"]}, [TRANSFER], {"ACTION": False}),
            ({"reward_basis": ["ENV_ASSERTION"]}, [], {"ENV_ASSERTION": True}),
            ({"reward_basis": ["NL_ASSERTION"]}, [], {"NL_ASSERTION": True}),
        ],
    )
    def test_the_parts_that_count(self, tmp_path, criteria, taken, parts):
        reward, terminated, info = played(made(tmp_path, entry(**criteria)), *taken, "Bye.")
        assert (reward, terminated) == (float(all(parts.values())), True)
        assert (info["parts"], info["unscored"]) == (parts, [])

    def test_no_criteria(self, tmp_path):
        env = made(tmp_path, {**entry(), "evaluation_criteria": None})
        assert played(env, CANCEL, "Bye.")[0] == 1.0

    def test_the_data_and_what_was_said_count_by_default(self, tmp_path):
        task = entry(communicate_info=["1234"])
        del task["evaluation_criteria"]["reward_basis"]
        assert played(made(tmp_path, task), CANCEL, "Bye.")[2]["parts"] == {"DB": True, "COMMUNICATE": False}

    def test_a_truncated_episode_gets_nothing(self, tmp_path):
        env = made(tmp_path, entry(actions=[]), max_steps=1)
        env.reset(seed=0)
        _, reward, terminated, truncated, _ = env.step("Hello.")
        assert (reward, terminated, truncated) == (0.0, False, True)

    @pytest.mark.parametrize(
        ("compared", "arguments", "same"),
        [
            (None, {"a": 1, "b": 2}, True),
            (None, {"a": 1}, True),  # only what the call has is compared
            (None, {"a": 1, "c": 3}, False),
            (None, {}, True),
            (("a",), {"a": 1, "b": 5}, True),
            (("a",), {"b": 2}, False),
            ((), {"c": 9}, True),
        ],
    )
    def test_gold_actions_that_are_made(self, compared, arguments, same):
        gold = Action("tool", {"a": 1, "b": 2}, compared)
        assert gold.is_made_by("tool", arguments) is same and not gold.is_made_by("other", arguments)


JUDGED: dict[str, Any] = {"nl_assertions": ["It was polite.", "It named 12."], "reward_basis": ["DB", "NL_ASSERTION"]}


class TestJudge:
    def test_without_one_the_assertions_are_unscored(self, tmp_path):
        reward, _, info = played(made(tmp_path, entry(**JUDGED)), CANCEL, "Bye.")
        assert reward == 1.0 and info["parts"] == {"DB": True, "NL_ASSERTION": None}
        assert info["unscored"] == ["NL_ASSERTION"]

    @pytest.mark.parametrize("verdicts", [[True, True], [True, False]])
    def test_decides_on_the_whole_dialogue(self, tmp_path, verdicts):
        asked: list[JudgeQuery] = []
        env = made(tmp_path, entry(**JUDGED), judge=lambda query: asked.append(query) or verdicts)
        reward, _, info = played(env, CANCEL, "Bye.")
        assert reward == float(all(verdicts)) and info["parts"] == {"DB": True, "NL_ASSERTION": all(verdicts)}
        assert info["unscored"] == []
        (query,) = asked
        assert query.assertions == tuple(JUDGED["nl_assertions"])
        contents = [json.loads(message)["content"] for message in query.messages]
        assert contents[:3] == [GREETING, "Hm.", None] and contents[-2:] == ["Bye.", "###STOP###"]

    def test_is_not_asked_where_nothing_is_to_judge(self, tmp_path):
        def judge(query: Any) -> Any:
            raise AssertionError

        for task in (entry(), entry(**{**JUDGED, "nl_assertions": []}), entry(**{**JUDGED, "reward_basis": ["DB"]})):
            assert played(made(tmp_path, task, judge=judge), CANCEL, "Bye.")[0] == 1.0

    def test_a_fork_asks_it_too(self, tmp_path):
        env = made(tmp_path, entry(**JUDGED), judge=lambda query: [True, True])
        env.reset(seed=0)
        env.step(CANCEL)
        twin = fork(env)
        assert env.step("Bye.")[1:3] == twin.step("Bye.")[1:3] == (1.0, True)

    @pytest.mark.parametrize("answer", [[True], "yes", [1, 0], None])
    def test_an_answer_that_is_none(self, tmp_path, answer):
        env = made(tmp_path, entry(**JUDGED), judge=lambda query: answer)
        with pytest.raises(HandlerFailed, match="a bool for each of 2 assertions"):
            played(env, CANCEL, "Bye.")

    def test_must_be_callable(self, tmp_path):
        with pytest.raises(InvalidConfiguration, match="judge must be None or a callable"):
            made(tmp_path, entry(), judge="gpt")

    def test_a_chat_model(self, tmp_path):
        requests: list[ChatRequest] = []
        answers = ["1: polite: true", "1: polite: true\n2. it said 12 in the end: **False**"]

        def model(query: ChatRequest, cancel: Any) -> Completion:
            requests.append(query)
            return Completion(text=answers[len(requests) - 1])

        env = made(tmp_path, entry(**JUDGED), judge=ChatJudge(model))
        assert played(env, CANCEL, "Bye.")[2]["parts"] == {"DB": True, "NL_ASSERTION": False}
        asked = requests[0].messages[-1]["content"]
        assert "agent calls cancel_pending_order({" in asked and "customer: Hm." in asked and "2: It named 12." in asked
        assert "no line for statement 2" in requests[1].messages[-1]["content"]

    def test_a_chat_model_that_does_not_answer(self):
        judge = ChatJudge(lambda query, cancel: Completion(text="Fine."))
        with pytest.raises(HandlerFailed, match="the judge answered 'Fine.'"):
            judge(JudgeQuery((), ("It was polite.",)), CancelToken())

    def test_a_chat_model_that_contradicts_itself(self):
        answers = iter(["1: polite: true\n1: rude: false", "**1**: polite: **true**"])
        judge = ChatJudge(lambda query, cancel: Completion(text=next(answers)))
        assert judge(JudgeQuery((), ("It was polite.",)), CancelToken()) == (True,)


def test_the_command_writes_outputs_as_values(tmp_path, capsys):
    wrong = {"name": "get_user_details", "arguments": {"user_id": "bob"}}
    types = {"name": "list_all_product_types", "arguments": {}}
    written(tmp_path, entry("5", [types, wrong, TRANSFER, CANCEL]))
    write_replay(str(tmp_path), None, tmp_path / "replayed.json")
    (result,) = json.loads((tmp_path / "replayed.json").read_text(encoding="utf-8"))
    assert result["id"] == "5" and len(result["db_hash"]) == 64
    assert result["outputs"][:3] == [
        {"ok": True, "output": '{"Lamp": "1", "Rug": "2"}'},
        {"ok": False, "output": "User not found"},
        {"ok": True, "output": "Transfer successful"},
    ]
    assert result["outputs"][3]["output"]["status"] == "cancelled"


def test_the_only_file_with_tasks_in_a_folder_is_taken(tmp_path):
    folder = written(tmp_path, entry("7"))
    (folder / "tasks.json").rename(folder / "tasks_mine.json")
    (task,) = cast("Any", gym.make("SpecRetail-v0", data=folder, split=None).unwrapped).tasks
    assert task.name == "7"
    write_replay(str(folder), None, tmp_path / "replayed.json")
    assert [each["id"] for each in json.loads((tmp_path / "replayed.json").read_text(encoding="utf-8"))] == ["7"]
    for others, found in (("tasks_b.json", "several: tasks_b.json, tasks_mine.json"), ("b.json", "none")):
        (folder / "tasks_mine.json").rename(folder / others)
        if found != "none":
            (folder / "tasks_mine.json").write_text("[]", encoding="utf-8")
        with pytest.raises(InvalidConfiguration, match=f"which holds {found}; name the file"):
            gym.make("SpecRetail-v0", data=folder, split=None)
        (folder / "tasks_b.json").unlink(missing_ok=True)
