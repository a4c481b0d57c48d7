"""tau-bench's own data and tasks: the same answers and the same hash, all of them, to the last bit."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import pytest

from spec_envs.benchmarks.checks import replayed, write_replay
from spec_envs.retail.loading import load_data, load_tasks
from spec_envs.retail.queries import STOP
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Action, Task, replay
from tests.retail.shops import TAU_BENCH, needs_tau_bench

START = "5a4b2cb59f4d12dea7e4adff24a7f8fada510ead49372ea4a729a82bbb5f49b5"


def made(**options: Any) -> Any:
    """The environment, with a customer who hangs up on "Bye."."""
    return gym.make("SpecRetail-v0", customer=lambda query: STOP if "Bye." in query.said[-1] else "Hm.", **options)


@needs_tau_bench
def test_hash_before_any_action():
    assert StoreSnapshot(load_data(TAU_BENCH)).tau_hash() == START


@needs_tau_bench
def test_all_gold_actions_give_the_gold_outputs_and_hashes():
    gold = json.loads((TAU_BENCH / "gold_dev.json").read_text(encoding="utf-8"))
    env = made(data=TAU_BENCH, tasks=TAU_BENCH / "tasks_dev.json", split=None, max_steps=None)
    assert len(env.unwrapped.tasks) == len(gold) == 578
    wrong = [given for given, wanted in zip(replayed(env), gold, strict=True) if given != wanted]
    assert wrong == []
    assert env.unwrapped.episode.start.tau_hash() == START  # nothing was changed in place


@needs_tau_bench
def test_the_fast_comparison_agrees_with_the_hash():
    tasks, store = load_tasks(TAU_BENCH / "tasks_dev.json", "test"), StoreSnapshot(load_data(TAU_BENCH))
    ends = [replay(store, task.actions)[1] for task in tasks]
    hashes = [end.tau_hash() for end in ends]
    for end, its_hash in zip(ends, hashes, strict=True):
        assert [end.matches(other) for other in ends] == [its_hash == other for other in hashes]
    assert sum(end.matches(store) for end in ends) == hashes.count(START) > 0


@needs_tau_bench
def test_the_command_writes_what_gold_dev_holds(tmp_path, capsys):
    tasks = json.loads((TAU_BENCH / "tasks_dev.json").read_text(encoding="utf-8"))[:5]
    gold = json.loads((TAU_BENCH / "gold_dev.json").read_text(encoding="utf-8"))[:5]
    path, target = tmp_path / "tasks.json", tmp_path / "replayed.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    write_replay(str(TAU_BENCH), str(path), target)
    assert json.loads(target.read_text(encoding="utf-8")) == gold
    write_replay(str(TAU_BENCH), str(path), type(target)("-"))
    assert json.loads(capsys.readouterr().out) == gold


# -- The rules of tau-bench's own step() and calculate_reward(), on the generated shop -------------------------------

CANCEL = Action("cancel_pending_order", {"order_id": "#W1", "reason": "no longer needed"})
THINK = Action("think", {"thought": "It is 1234."})
TRANSFER = Action("transfer_to_human_agents", {"summary": "They want more."})
BYE = "All done. Bye."


def orders() -> tuple[str, str]:
    """A user and a pending order of theirs."""
    task = load_tasks("embedded", "test")[0]
    (order_id,) = {action.arguments["order_id"] for action in task.actions if action.name == CANCEL.name}
    return task.user_id, order_id


def task_with(*actions: Action, outputs: tuple[str, ...] = ()) -> Task:
    user_id, order_id = orders()
    actions = tuple(
        Action(action.name, {**action.arguments, "order_id": order_id}) if "order_id" in action.arguments else action
        for action in actions
    )
    return Task("test", 0, user_id, "", actions, outputs)


def played(task: Task, *actions: Action | str) -> tuple[float, bool, dict[str, Any]]:
    """Reward and end after the last of the actions; nothing ends before it."""
    env = made(tasks=[task])
    env.reset(seed=0)
    order = {"order_id": orders()[1]}
    terminated, reward, info = False, 0.0, {}
    for action in actions:
        assert (terminated, reward) == (False, 0.0)
        if isinstance(action, Action):
            arguments = dict(action.arguments)
            taken: Any = {"name": action.name, "arguments": arguments | (order if "order_id" in arguments else {})}
        else:
            taken = action
        _, reward, terminated, _, info = env.step(taken)
    return reward, terminated, info


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [({"summary": ""}, "Transfer successful"), ({}, "Error: "), ({"summary": "", "to": "you"}, "Error: ")],
    ids=["right", "lacking", "unknown"],
)
@pytest.mark.parametrize("right", [True, False])
def test_a_transfer_ends_the_episode_whatever_it_answers(arguments, answer, right):
    env = made(tasks=[task_with(*[CANCEL] * (not right))])
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step({"name": TRANSFER.name, "arguments": arguments})
    assert env.unwrapped.dialogue[-1]["content"].startswith(answer)
    assert (reward, terminated, info["outcome"]) == (float(right), True, "transfer")


@pytest.mark.parametrize(
    ("gold", "taken", "reward"),
    [
        ([CANCEL], [CANCEL, BYE], 1.0),
        ([CANCEL], [BYE], 0.0),
        ([], [CANCEL, BYE], 0.0),
        ([CANCEL, TRANSFER], [CANCEL, BYE], 1.0),  # that there was no transfer is not looked at
        ([TRANSFER, CANCEL], [CANCEL, TRANSFER], 1.0),  # and the gold actions after it count
        ([TRANSFER, CANCEL], [TRANSFER], 0.0),
        ([CANCEL, CANCEL], [CANCEL, BYE], 1.0),  # the second is refused, and changes nothing
        ([CANCEL], [CANCEL, CANCEL, THINK, BYE], 1.0),  # the way there does not count
        ([Action("no_such_tool", {})], [BYE], 1.0),
    ],
)
def test_the_data_count_and_not_the_way(gold, taken, reward):
    assert played(task_with(*gold), *taken)[:2] == (reward, True)


@pytest.mark.parametrize(
    ("output", "taken", "said"),
    [
        ("1234", ["It is 1,234.", BYE], True),
        ("1234", ["It is 1234", "Really.", BYE], True),
        ("1,234", ["It is 1,234.", BYE], False),  # commas go from the message, not from what is looked for
        ("Red Lamp", ["A RED LAMP.", BYE], True),
        ("1234", [THINK, BYE], False),  # only what the customer hears counts
        ("1234", ["It is 1234.", TRANSFER], True),
        ("34", ["It is 1234.", BYE], True),
        ("all", [BYE], True),
        ("", [BYE], True),
    ],
)
def test_outputs_are_looked_for_in_messages_alone(output, taken, said):
    reward, _, info = played(task_with(outputs=(output,)), *taken)
    assert (reward, info["outputs"]) == (float(said), {output: said})


def test_both_the_data_and_the_outputs_have_to_be_right():
    task = task_with(CANCEL, outputs=("yes",))
    assert [played(task, *taken)[0] for taken in ([CANCEL, "Yes.", BYE], ["Yes.", BYE], [CANCEL, BYE])] == [1.0, 0, 0]


def test_a_replay_goes_on_after_a_transfer_and_leaves_it_out_of_the_data():
    wrong = Action(TRANSFER.name, {"to": "you"})
    task = task_with(TRANSFER, CANCEL, wrong, THINK)
    (result,) = replayed(made(tasks=[task]))
    outputs, after = replay(StoreSnapshot(load_data("embedded")), [task.actions[1]])
    assert result["outputs"][:2] == ["Transfer successful", *outputs] and result["outputs"][3] == ""
    assert result["outputs"][2].startswith("Error: ")
    assert result["data_hash"] == after.tau_hash()
