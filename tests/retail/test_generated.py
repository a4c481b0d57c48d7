"""Generated shops: the same from a seed everywhere, solvable, as hard as they say, and as large as asked for."""

from __future__ import annotations

import hashlib
import itertools
import json
import pickle
import subprocess
import sys
from typing import Any

import gymnasium as gym
import pytest

from spec_envs.agents import GoldReplay, ScriptedRetailPolicy
from spec_envs.difficulty import Difficulty
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail import RetailEnv, load_data, load_tasks
from spec_envs.retail.difficulty import difficulty_of
from spec_envs.retail.store.data import Table
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Task, replay
from spec_envs.retail.tools.table import TERMINAL, WRITES
from tests.retail.shops import as_json

#: A change of the generated shops changes what was learned and measured in them: do so on purpose.
DIGEST, DIGEST_OF_TASKS = 289143433065260719030626498737571636179, "14257d6e8da4d993"


def digest_of(tasks):
    return hashlib.sha256(json.dumps([as_json(task) for task in tasks]).encode()).hexdigest()[:16]


def reward_of(env: gym.Env, task, policy):
    observation, _ = env.reset(seed=0, options={"task": task})
    reward: Any = 0.0
    done = False
    while not done:
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        done = terminated or truncated
    return reward


class TestData:
    def test_are_the_same_bytes_in_every_process(self):
        code = (
            "from spec_envs.retail import load_data, load_tasks; from tests.retail.test_generated import digest_of;"
            "print(load_data('generated', data_seed=7).digest, digest_of(load_tasks('generated', data_seed=7)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
        assert done.stdout.split() == [str(DIGEST), DIGEST_OF_TASKS]
        assert load_data("generated", data_seed=7).digest == DIGEST

    def test_of_one_seed_are_loaded_once_and_pickled_by_name(self):
        data = load_data("generated", data_seed=7)
        assert load_data("generated", data_seed=7, size=1) is data
        pickled = pickle.dumps(StoreSnapshot(data))
        assert len(pickled) < 1000 and pickle.loads(pickled).initial is data

    def test_of_another_seed_are_others(self):
        shops = [load_data("generated", data_seed=seed).tables for seed in (1, 2)] + [load_data().tables]
        for one, other in itertools.combinations(shops, 2):
            for table, records in one.items():
                assert len(records.keys() & other[table].keys()) <= 3  # ids are drawn, so a few may be the same

    def test_of_a_larger_shop_begin_with_those_of_a_smaller_one(self):
        small, large = (load_data("generated", data_seed=4, size=size).tables for size in (1, 3))
        counts: dict[Table, int] = {"users": 240, "products": 46}
        for table, count in counts.items():
            assert list(large[table].items())[:count] == list(small[table].items())
        assert len(large["users"]) == 3 * len(small["users"])
        few, many = (load_tasks("generated", "dev", data_seed=4, size=size) for size in (1, 3))
        assert many[: len(few)] == few and len(many) == 3 * len(few)
        assert len({user["email"] for user in large["users"].values()}) == 720


class TestTasks:
    @pytest.mark.parametrize("first", range(0, 50, 10))
    def test_are_solved_by_their_solving_actions(self, first):
        # 1,000 tasks of 50 shops, played in the environment. The tasks of all splits were replayed as they were made.
        for seed in range(first, first + 10):
            env = RetailEnv(data="generated", data_seed=seed, split="dev")
            assert len(env.tasks) == 20
            for task in env.tasks:
                assert reward_of(env, task, GoldReplay(task)) == 1.0, task

    def test_are_as_hard_as_they_say(self):
        data = load_data("generated", data_seed=7)
        store, seen = StoreSnapshot(data), set()
        for task in load_tasks("generated", data_seed=7):
            difficulty = difficulty_of(task, data)
            seen.add(difficulty)
            writes = [action for action in task.actions if action.name in WRITES - TERMINAL]
            assert difficulty.writes == len(writes) and (difficulty.writes > 0) == (
                replay(store, task.actions)[1] != store
            )
            assert difficulty.hops >= 2 and difficulty.distractors >= 0
            assert difficulty.negations == task.instruction.count("change your mind")
        assert {each.writes for each in seen} >= {0, 1, 2, 3, 4}
        assert {each.negations for each in seen} == {0, 1, 2}
        assert {each.distractors for each in seen} >= set(range(8))
        assert max(each.hops for each in seen) >= 10

    def test_of_a_written_out_one(self):
        data = load_data("generated", data_seed=7)
        task = load_tasks("generated", "test", data_seed=7)[0]
        assert difficulty_of(task, data) == Difficulty(hops=3, writes=1, distractors=4, negations=0)

    def test_in_words_have_no_difficulty(self):
        data = load_data("generated", data_seed=7)
        user = next(iter(data.tables["users"]))
        with pytest.raises(InvalidConfiguration, match="no scenario"):
            difficulty_of(Task("test", 0, user, "You want a lamp.", ()), data)
        with pytest.raises(InvalidConfiguration, match="not in these data"):
            difficulty_of(Task("test", 0, "nobody", "You want a lamp.", ()), data)

    def test_are_solved_by_the_scripted_clerk_too(self):
        env = RetailEnv(data="generated", data_seed=11, split="dev")
        assert all(reward_of(env, task, ScriptedRetailPolicy()) == 1.0 for task in env.tasks)


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"data_seed": 3}, "data_seed=3 is only for \"generated\", not for 'embedded'"),
            ({"size": 3}, "size=3 is only for \"generated\", not for 'embedded'"),
            ({"data": "generated", "data_seed": -1}, "data_seed must be an integer of at least 0, not -1"),
            ({"data": "generated", "data_seed": "x"}, "data_seed must be an integer of at least 0, not 'x'"),
            ({"data": "generated", "size": 0}, "size must be an integer of at least 1, not 0"),
            ({"data": "generated", "size": 101}, "size must be at most 100, not 101"),
        ],
    )
    def test_that_are_wrong(self, given, message):
        with pytest.raises(InvalidConfiguration, match=message):
            RetailEnv(**given)

    def test_of_make(self):
        env = gym.make("SpecRetail-v0", data="generated", data_seed=11, size=2, split="dev").unwrapped
        assert isinstance(env, RetailEnv) and len(env.tasks) == 40
        assert env.spec is not None
        again = gym.make(env.spec).unwrapped
        assert isinstance(again, RetailEnv) and again.tasks == env.tasks
