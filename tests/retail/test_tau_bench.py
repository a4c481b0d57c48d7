"""tau-bench's own data and tasks: the same answers and the same hash, all of them, to the last bit."""

from __future__ import annotations

import json

from spec_envs.benchmarks.retail_replay import replayed, run
from spec_envs.retail.data import load
from spec_envs.retail.store import StoreSnapshot
from spec_envs.retail.tasks import check_tasks, load_tasks, replay
from tests.retail.shops import TAU_BENCH, needs_tau_bench

pytestmark = needs_tau_bench

START = "5a4b2cb59f4d12dea7e4adff24a7f8fada510ead49372ea4a729a82bbb5f49b5"


def test_hash_before_any_action():
    assert StoreSnapshot(load(TAU_BENCH)).tau_hash() == START


def test_all_gold_actions_give_the_gold_outputs_and_hashes():
    gold = json.loads((TAU_BENCH / "gold_dev.json").read_text(encoding="utf-8"))
    tasks, store = load_tasks(TAU_BENCH / "tasks_dev.json"), StoreSnapshot(load(TAU_BENCH))
    check_tasks(store, tasks)
    assert len(tasks) == len(gold) == 578
    wrong = [given for given, wanted in zip(replayed(store, tasks), gold, strict=True) if given != wanted]
    assert wrong == []
    assert store.tau_hash() == START and store == StoreSnapshot(load(TAU_BENCH))  # nothing was changed in place


def test_the_fast_comparison_agrees_with_the_hash():
    tasks, store = load_tasks(TAU_BENCH / "tasks_dev.json", "test"), StoreSnapshot(load(TAU_BENCH))
    ends = [replay(store, task.actions)[1] for task in tasks]
    hashes = [end.tau_hash() for end in ends]
    for end, its_hash in zip(ends, hashes, strict=True):
        assert [end.matches(other) for other in ends] == [its_hash == other for other in hashes]
    assert sum(end.matches(store) for end in ends) == hashes.count(START) > 0


def test_the_command_writes_what_gold_dev_holds(tmp_path, capsys):
    tasks = json.loads((TAU_BENCH / "tasks_dev.json").read_text(encoding="utf-8"))[:5]
    gold = json.loads((TAU_BENCH / "gold_dev.json").read_text(encoding="utf-8"))[:5]
    path, target = tmp_path / "tasks.json", tmp_path / "replayed.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    run(str(TAU_BENCH), str(path), target)
    assert json.loads(target.read_text(encoding="utf-8")) == gold
    run(str(TAU_BENCH), str(path), type(target)("-"))
    assert json.loads(capsys.readouterr().out) == gold
