"""What the retail environment costs: the measurements measure what they say; the figures are not asserted."""

from __future__ import annotations

import copy
import importlib.machinery
import json
import random
import sys
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from spec_envs.benchmarks.overhead import Measured
from spec_envs.benchmarks.overhead import retail as retail_overhead
from spec_envs.retail.loading import load_data, load_tasks
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools.table import run_tool


def test_data_of_so_many_times_the_size_are_a_shop(tmp_path):
    retail_overhead._write_data(tmp_path, 3)
    once, thrice = load_data("embedded"), load_data(tmp_path)
    assert {table: len(thrice.tables[table]) for table in thrice.tables} == {
        table: 3 * len(once.tables[table]) for table in once.tables
    }
    order_id = next(iter(once.tables["orders"]))
    found = json.loads(run_tool(StoreSnapshot(thrice), "get_order_details", {"order_id": f"{order_id}_2"}).output)
    assert found["order_id"] == f"{order_id}_2" and found["user_id"].endswith("_2")


def test_measures_in_this_process(monkeypatch):
    monkeypatch.setattr(retail_overhead, "FORKS", 3)
    assert retail_overhead.fork_us(2) > 0
    assert retail_overhead.live_forks_mb(30) > -1  # memory of the process, which the collector may have shrunk
    assert retail_overhead.steps_us(2) > 0


class TauAction(NamedTuple):
    name: str
    kwargs: dict[str, Any]


class StandIn:
    """An environment with tau-bench's names: its tools are ours, its data a plain dictionary."""

    def __init__(self, *, user_strategy: str, task_split: str) -> None:
        assert (user_strategy, task_split) == ("human", "test")
        random.randint(0, 10)
        self.tasks = [
            Task(task.user_id, [TauAction(action.name, dict(action.arguments)) for action in task.actions])
            for task in load_tasks("embedded", "test")
        ]
        self.data = self.data_load_func()
        self.stepped: list[str] = []
        created.append(self)

    def data_load_func(self) -> Any:
        return copy.copy(load_data("embedded").tables)

    def step(self, action: TauAction) -> str:
        self.stepped.append(action.name)
        return run_tool(StoreSnapshot(load_data("embedded")), action.name, action.kwargs).output


class Task(NamedTuple):
    user_id: str
    actions: list[TauAction]


created: list[StandIn] = []


def module(name: str, **names: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    made.__dict__.update(names)
    return made


def test_tau_benchs_own_environment_is_measured_where_it_is_installed(monkeypatch, tmp_path):
    assert retail_overhead.tau_bench_figures() == []
    retail_overhead._write_data(tmp_path, 1)
    data = module("tau_bench.envs.retail.data", __file__=str(tmp_path / "__init__.py"))
    for made in (
        module("tau_bench"),
        module("tau_bench.envs"),
        module("tau_bench.envs.retail", data=data),
        data,
        module("tau_bench.envs.retail.env", MockRetailDomainEnv=StandIn),
        module("tau_bench.types", Action=TauAction),
    ):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(retail_overhead, "EPISODES", 30)
    before = random.getstate()
    theirs, ours, their_episode, our_episode, ratio = retail_overhead.tau_bench_figures()
    assert random.getstate() == before
    assert "tau-bench's" in theirs.name and "SpecRetail-v0" in ours.name
    assert their_episode.measured >= theirs.measured > 0 and our_episode.measured >= ours.measured > 0
    assert ratio.measured == their_episode.measured / our_episode.measured and ratio.at_least
    assert len(created[0].stepped) >= 30 and "transfer_to_human_agents" not in created[0].stepped


@pytest.mark.parametrize(("measured", "met"), [(1.0, True), (3.0, False)])
def test_figures_are_held_against_their_targets(measured, met):
    assert Measured("a step", "us", measured, 2.0).met == met
