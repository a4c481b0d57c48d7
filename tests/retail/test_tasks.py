"""The generated tasks can be solved, cover what the tools do, and stay what they are."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import Counter
from typing import Any

import pytest

from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.loading import check_tasks, load_data, load_tasks
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Action, replay, was_said
from spec_envs.retail.tools.table import READS, TERMINAL, WRITES
from tests.retail.shops import as_json, shop

TASKS = load_tasks()
STORE = StoreSnapshot(load_data())

#: A change of the generated tasks changes every figure measured on them: do so on purpose.
DIGEST = "0d6333b91d99976d"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
class TestEveryTask:
    def test_can_be_solved(self, task):
        outputs, after = replay(STORE, task.actions)
        assert not [output for output in outputs if output.startswith(("Error", "Unknown"))]
        assert all(any(was_said(wanted, output) for output in outputs) for wanted in task.outputs)
        writes = [action for action in task.actions if action.name in WRITES - TERMINAL]
        assert (after == STORE) == (not writes)

    def test_is_what_its_scenario_says(self, task):
        identity, requests = task.scenario.identity, task.scenario.requests
        user = dict(STORE.items("users"))[task.user_id]
        assert identity.user_id == task.user_id and identity.email == user["email"]
        assert (identity.first_name, identity.last_name) == (user["name"]["first_name"], user["name"]["last_name"])
        email, name = {"email": identity.email}, {**user["name"], "zip": identity.zip}
        first = Action("find_user_id_by_email", email) if identity.knows_email else None
        assert task.actions[0] == (first or Action("find_user_id_by_name_zip", name))
        done = [action for action in task.actions if action.name in WRITES]
        wanted = [Action(request.kind, request.arguments) for request in requests if request.kind != "information"]
        refused = [Action(request.kind, request.arguments) for request in requests if not request.confirms]
        assert done == [action for action in wanted if action not in refused]
        assert task.outputs == tuple(output for request in requests for output in request.outputs)
        for request in requests:
            topics = {"order", "items", "new items", "payment", "reason", "address"}
            assert request.facts.keys() <= topics and all(request.facts.values())
            assert request.kind == "information" or request.kind in WRITES
        assert identity.first_name in task.instruction and all(
            fact.replace("my ", "your ") in task.instruction for request in requests for fact in request.facts.values()
        )


class TestSplits:
    def test_have_their_sizes_and_their_own_customers(self):
        sizes = Counter(task.split for task in TASKS)
        assert sizes == {"train": 140, "dev": 20, "test": 60}
        customers = {split: {task.user_id for task in load_tasks(split=split)} for split in sizes}
        assert not customers["train"] & customers["test"] and not customers["dev"] & customers["test"]
        assert not customers["train"] & customers["dev"]
        for split in sizes:
            assert [task.index for task in load_tasks(split=split)] == list(range(sizes[split]))

    @pytest.mark.parametrize("split", ["train", "dev", "test"])
    def test_cover_every_tool_and_several_requests(self, split):
        tasks = load_tasks(split=split)
        used = {action.name for task in tasks for action in task.actions}
        assert used >= WRITES and used >= READS - {"think", "calculate"}
        scenarios = [task.scenario for task in tasks if task.scenario is not None]
        assert len(scenarios) == len(tasks)
        assert {len(scenario.requests) for scenario in scenarios} == {1, 2, 3}
        requests = [request for scenario in scenarios for request in scenario.requests]
        assert any(request.outputs for request in requests) and not all(request.confirms for request in requests)
        assert any(not scenario.identity.knows_email for scenario in scenarios)

    def test_are_stable(self):
        told = json.dumps([as_json(task) for task in TASKS])
        assert hashlib.sha256(told.encode()).hexdigest()[:16] == DIGEST


class TestLoading:
    def test_reads_what_it_writes(self, tmp_path):
        path = tmp_path / "tasks.json"
        path.write_text(json.dumps([as_json(task) for task in TASKS]), encoding="utf-8")
        loaded = load_tasks(path)
        assert [as_json(task) for task in loaded] == [as_json(task) for task in TASKS]
        assert all(task.scenario is None for task in loaded)
        assert load_tasks(str(path), "dev") == tuple(task for task in loaded if task.split == "dev")
        assert pickle.loads(pickle.dumps(TASKS)) == TASKS

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("{", "cannot be read as JSON"),
            ("3", "must hold a JSON list of tasks, not 3"),
            ('[{"split": "a"}]', "task 0: 'actions' is missing"),
            ("[1]", "task 0: 'int' object is not subscriptable"),
            ("{}", "must hold a JSON list of tasks, not {}"),
            (json.dumps([{**as_json(TASKS[0]), "outputs": "12.5"}]), "task 0: 'outputs' must be a list, not '12.5'"),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path, content, words):
        path = tmp_path / "tasks.json"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InvalidConfiguration, match=words):
            load_tasks(path)

    def test_of_what_is_not_there(self, tmp_path):
        with pytest.raises(InvalidConfiguration, match="there is no"):
            load_tasks(tmp_path / "none.json")
        with pytest.raises(InvalidConfiguration, match="no tasks of split 'final'; it has 'dev', 'test', 'train'"):
            load_tasks(split="final")

    def test_notices_tasks_of_other_data(self):
        check_tasks(STORE, TASKS)
        with pytest.raises(InvalidConfiguration, match="belong to other data"):
            check_tasks(shop(), TASKS)
        with pytest.raises(InvalidConfiguration, match="a task must be a Task"):
            records: Any = [as_json(TASKS[0])]
            check_tasks(STORE, records)

    def test_a_file_without_any_is_no_environment(self, tmp_path):
        path = tmp_path / "tasks.json"
        path.write_text("[]", encoding="utf-8")
        wrong: list[Any] = [path, [], 5]
        for tasks in wrong:
            with pytest.raises(InvalidConfiguration, match="tasks must"):
                RetailEnv(tasks=tasks, split=None)


def test_said_is_as_tau_bench_looks():
    assert was_said("1234.5", "That makes $1,234.50 in all.") and was_said("Blue", "a BLUE one")
    assert not was_said("1234.5", "That makes 1 234.5")
