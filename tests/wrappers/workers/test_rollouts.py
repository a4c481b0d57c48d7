"""Episodes over processes: equal to those of one process, in order if asked, with their errors, and never too many."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from spec_envs import rollouts
from spec_envs.agents import FrequencyGuesser
from spec_envs.errors import EpisodeFailed, InvalidConfiguration
from spec_envs.wrappers import Limits, Rollout, SharedLimit, SimulationRuntime
from spec_envs.wrappers.workers import pool
from tests.wrappers.workers import parts

ROOT = Path(__file__).parents[3]


def rows(found):
    """What must be the same however the episodes were played."""
    return {
        each.seed: [(step.action, step.observation, step.reward, step.terminated) for step in each.steps]
        for each in found
    }


def play(seeds: Iterable[int] = range(6), make: Callable[[], Any] = parts.make, guessers=None, **options):
    options = {"runtime": "simulation", **options}  # in which guessers learn from each step, also from quick ones
    return rollouts(make, parts.policy, parts.guessers() if guessers is None else guessers, seeds, **options)


class TestHere:
    def test_are_those_of_the_plain_loop(self):
        for found in play(range(3)):
            env = parts.make()
            observation, _ = env.reset(seed=found.seed)
            assert found.observation == observation
            for step in found.steps:
                assert step.action == parts.policy(observation)
                observation, reward, terminated, *_ = env.step(step.action)
                assert (step.observation, step.reward, step.terminated) == (observation, reward, terminated)
            assert found.steps[-1].terminated and len(found.steps) == 5
            assert found.total_reward == sum(step.reward for step in found.steps)

    def test_begin_when_they_are_asked_for(self):
        begun = []

        def make():
            begun.append(1)
            return parts.make()

        endless = play(itertools.count(), make)
        assert begun == []
        assert next(endless).seed == 0 and next(endless).seed == 1 and len(begun) == 2
        endless.close()

    def test_end_after_so_many_steps(self):
        assert [len(found.steps) for found in play(range(2), max_steps=3)] == [3, 3]

    @pytest.mark.parametrize(("learning", "total"), [("merged", 30), ("worker", 0), ("episode", 0)])
    def test_what_guessers_remember(self, learning, total):
        guessers = parts.guessers()
        list(play(guessers=guessers, learning=learning))
        assert counted(guessers["world"]) == total

    def test_learning_raises_the_hit_rate_unless_each_episode_is_alone(self):
        def hits(learning):
            return [found.statistics.hits for found in play([1] * 4, make=parts.make_slow, learning=learning)]

        assert hits("merged")[-1] > hits("merged")[0]
        assert len(set(hits("episode"))) == 1

    def test_errors_tell_the_seed(self):
        with pytest.raises(EpisodeFailed, match="seed 1 failed: FailureOfThree: 1 2 3") as caught:
            list(play(make=parts.make_failing))
        assert caught.value.seed == 1 and isinstance(caught.value.__cause__, parts.FailureOfThree)
        with pytest.raises(EpisodeFailed, match="seed 0 failed: ValueError: there is no such environment"):
            list(play(make=parts.refuse))

    def test_errors_may_be_kept(self):
        found = {each.seed: each for each in play(make=parts.make_failing, keep_errors=True)}
        assert {seed for seed, each in found.items() if each.error is not None} == {1, 3, 5}
        assert len(found[0].steps) == 5 and found[1].steps == ()

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"make": "SpecChess-v0"}, "env_factory must be a callable .*, not 'SpecChess-v0'"),
            ({"jobs": 0}, "jobs must be None or an integer of at least 1, not 0"),
            ({"learning": "x"}, "learning must be"),
            ({"infligth": 3}, "there is no option 'infligth'"),
            ({"k": 0}, "k must be an integer of at least 1, not 0"),
            ({"seeds": 3}, "seeds must be an iterable of integers"),
            ({"max_steps": 0}, "max_steps must be"),
            ({"runtime": SimulationRuntime()}, "runtime must be a name, or a callable"),
            ({"shared_limits": {"policy": SharedLimit(max_calls=1)}}, "shared_limits need ray=True"),
            ({"shared_limits": {"policy": SharedLimit(max_calls=1)}, "ray": True}, "are on the wall clock"),
            ({"shared_limits": {"policy": 3}, "ray": True, "runtime": "threads"}, "must map names of handlers"),
        ],
    )
    def test_wrong_arguments(self, given, message):
        with pytest.raises(InvalidConfiguration, match=message):
            play(**given)


class TestProcesses:
    def test_rows_are_those_of_one_process(self):
        options: dict[str, Any] = {"learning": "episode", "limits": Limits(max_inflight=3)}
        one = {found.seed: found for found in play(make=parts.make_slow, **options)}
        two = list(play(make=parts.make_slow, jobs=2, in_order=True, **options))
        assert [found.seed for found in two] == list(range(6))
        assert rows(two) == rows(one.values())
        assert [found.statistics.as_dict() for found in two] == [one[seed].statistics.as_dict() for seed in range(6)]

    def test_merged_guessers_have_learned_from_all_episodes(self):
        alone, merged = parts.guessers(), parts.guessers()
        assert rows(play(guessers=alone)) == rows(play(guessers=merged, jobs=2))
        assert counted(merged["world"]) == counted(alone["world"]) == 30

    def test_errors_tell_the_seed_and_end_the_processes(self):
        with pytest.raises(EpisodeFailed, match="seed 1 failed: HandlerFailed: FailureOfThree: 1 2 3"):
            list(play(make=parts.make_failing, jobs=2, in_order=True))
        assert multiprocessing.active_children() == []

    def test_a_death_tells_the_seeds(self):
        with pytest.raises(EpisodeFailed, match=r"a process died.*one of the seeds 0, 1"):
            list(play(range(2), make=parts.make_deadly, jobs=2))

    def test_a_death_ends_a_process_that_would_stay(self, monkeypatch):
        monkeypatch.setattr(pool, "_LEAVE_S", 0.2)
        with pytest.raises(EpisodeFailed, match="a process died"):
            list(play(range(2), make=parts.make_stubborn, jobs=2))
        assert multiprocessing.active_children() == []

    def test_closing_the_iterator_ends_what_runs(self):
        endless = play(itertools.count(), jobs=2)
        first = next(endless)
        assert isinstance(first, Rollout)
        endless.close()
        assert multiprocessing.active_children() == []

    def test_ctrl_c_ends_all_processes(self):
        command = [sys.executable, "-c", HANGING]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as program:
            assert program.stdout is not None
            workers = [psutil.Process(int(pid)) for pid in program.stdout.readline().split()]
            program.send_signal(signal.SIGINT)
            assert program.stdout.read().strip() == "interrupted"
        assert len(workers) == 2 and psutil.wait_procs(workers, timeout=30)[1] == []

    def test_what_cannot_be_pickled_is_named(self):
        with pytest.raises(InvalidConfiguration, match="env_factory must be pickled"):
            next(rollouts(lambda: parts.make(), parts.policy, {}, range(2), jobs=2))


#: Begins episodes that hang, says which processes play them, and waits for one.
HANGING = """
import multiprocessing, threading, time
from spec_envs import rollouts
from tests.wrappers.workers import parts

def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    try:
        next(rollouts(parts.make_hanging, parts.policy, {}, range(4), jobs=2))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def counted(guesser: FrequencyGuesser):
    """How many responses of the handler a guesser has seen."""
    overall = guesser._overall.get("world")
    return 0 if overall is None else overall.total()
