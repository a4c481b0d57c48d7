"""What ``SpecRetail-v0`` costs: the time of a fork and of a step, and the memory of many forks.

Figures that depend on the process (memory, data of a hundred times the size) are measured in a process of their own.
"""

import gc
import importlib.util
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import psutil

from spec_envs.agents import ScriptedRetailPolicy
from spec_envs.benchmarks.episodes import play
from spec_envs.benchmarks.overhead import Measured, median_fork_us
from spec_envs.forking import fork
from spec_envs.retail.loading import load_data
from spec_envs.retail.tasks import Action, Task
from spec_envs.retail.tools.table import TERMINAL

FORKS = 2000
LIVE_FORKS = 10_000
EPISODES = 40
#: Sizes of the data, in multiples of the generated shop.
SIZES = (1, 100)
WITHOUT_TAU_BENCH = (
    "tau-bench is not installed (no module tau_bench), so its own environment was not measured side by side."
)

_WRITES = 5
_TIMEOUT_S = 600


def figures() -> Iterator[Measured]:
    """Forks, memory, and steps."""
    for size in SIZES:
        yield Measured(f"fork of a retail episode, {size} times the data (median)", "us", _elsewhere(fork_us, size), 20)
    name = f"{LIVE_FORKS:,} live forks of a retail episode, {_WRITES} writes each"
    yield Measured(name, "MB", _elsewhere(live_forks_mb, LIVE_FORKS), 200)
    us = steps_us(EPISODES)
    yield Measured(f"retail step, instant handlers, no speculation ({1e6 / us:,.0f} a second)", "us", us, 1e6 / 3000)


def _elsewhere(measure: Callable[[int], float], argument: int) -> float:
    """``measure(argument)``, in a fresh process."""
    code = f"from {__name__} import {measure.__name__} as measure; print(measure({argument}))"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=_TIMEOUT_S
    )
    return float(done.stdout)


# -- forks ---------------------------------------------------------------------------------------------------------


def fork_us(size: int) -> float:
    """Microseconds of a fork of what ``gym.make`` builds, in an episode with writes, with ``size`` times the data."""
    with tempfile.TemporaryDirectory() as folder:
        _write_data(Path(folder), size)
        env = gym.make("SpecRetail-v0", data=folder, tasks="embedded", customer=_hm)
    env.reset(seed=0)
    _write_some(env, "1 Elm Street")
    return median_fork_us(env, FORKS)


def live_forks_mb(count: int) -> float:
    """Megabytes by which the process grows with ``count`` forks of one episode, each with writes of its own."""
    env = gym.make("SpecRetail-v0", customer=_hm)
    env.reset(seed=0)
    _write_some(fork(env), "0 Elm Street")  # so that everything that is made on first use exists
    gc.collect()
    before = psutil.Process().memory_info().rss
    forks = [fork(env) for _ in range(count)]
    for number, twin in enumerate(forks):
        _write_some(twin, f"{number} Elm Street")
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    assert len({twin.unwrapped.episode.store.digest for twin in forks}) == count  # type: ignore[attr-defined]
    return grown / 1e6


def _write_some(env: gym.Env[Any, Any], street: str) -> None:
    """Change the addresses of some pending orders; each change writes a record."""
    unwrapped: Any = env.unwrapped
    address = {"address1": street, "address2": "", "city": "Reno", "state": "NV", "country": "USA", "zip": "89501"}
    pending = (key for key, order in unwrapped.episode.start.items("orders") if order["status"] == "pending")
    for order_id in itertools.islice(pending, _WRITES):
        env.step({"name": "modify_pending_order_address", "arguments": {"order_id": order_id, **address}})
        assert not unwrapped.dialogue[-1]["content"].startswith("Error")


def _write_data(folder: Path, size: int) -> None:
    """Write the generated shop with ``size`` copies of each record, in the form of tau-bench."""
    tables = load_data("embedded").tables
    ids = {"orders": ("order_id", "user_id"), "products": ("product_id",), "users": ()}
    for table, records in tables.items():
        grown = {}
        for copy in range(size):
            suffix = f"_{copy}" if copy else ""
            for key, record in records.items():
                grown[key + suffix] = {**record, **{name: record[name] + suffix for name in ids[table]}}
        (folder / f"{table}.json").write_text(json.dumps(grown), encoding="utf-8")


# -- steps ---------------------------------------------------------------------------------------------------------


def steps_us(episodes: int) -> float:
    """Microseconds of one core for a step, in whole episodes with resets; the median of five runs.

    The agent's own time is not counted. Nothing waits, so all of the time is processor time.
    """
    env, policy = gym.make("SpecRetail-v0"), ScriptedRetailPolicy()
    recorded = [play(env, policy, seed=seed).actions for seed in range(episodes)]
    times = []
    for _ in range(5):
        start = time.process_time()
        for seed, actions in enumerate(recorded):
            env.reset(seed=seed)
            for action in actions:
                env.step(action)
        times.append(time.process_time() - start)
    return statistics.median(times) / sum(map(len, recorded)) * 1e6


def tau_bench_is_installed() -> bool:
    """Whether tau-bench is installed, which is not on PyPI."""
    return importlib.util.find_spec("tau_bench") is not None


def tau_bench_figures() -> list[Measured]:
    """A tool call in tau-bench's environment and in ours, with the same data and calls; empty without tau-bench."""
    if not tau_bench_is_installed():
        return []
    from tau_bench.envs.retail import data  # pyright: ignore[reportMissingImports]
    from tau_bench.envs.retail.env import MockRetailDomainEnv  # pyright: ignore[reportMissingImports]
    from tau_bench.types import Action as TauAction  # pyright: ignore[reportMissingImports]

    state = random.getstate()
    random.seed(0)  # the constructor draws a task, and sometimes one past the end
    theirs = MockRetailDomainEnv(user_strategy="human", task_split="test")
    random.setstate(state)
    chosen = [[action for action in task.actions if action.name not in TERMINAL] for task in theirs.tasks[:EPISODES]]
    users = [task.user_id for task in theirs.tasks[:EPISODES]]
    tasks = [
        Task("test", index, user, "", tuple(Action(action.name, action.kwargs) for action in actions))
        for index, (user, actions) in enumerate(zip(users, chosen, strict=True))
    ]
    ours = gym.make("SpecRetail-v0", data=Path(data.__file__).parent, tasks=tasks, customer=_hm, max_steps=None)

    def reload(index: int) -> None:
        theirs.data = theirs.data_load_func()

    def reset(index: int) -> None:
        ours.reset(seed=0, options={"task": index})

    in_theirs = [[TauAction(name=action.name, kwargs=action.kwargs) for action in actions] for actions in chosen]
    in_ours = [[{"name": action.name, "arguments": action.kwargs} for action in actions] for actions in chosen]
    # In turns, so that disturbances of the machine affect both.
    rounds = [(_calls_us(theirs, in_theirs, reload), _calls_us(ours, in_ours, reset)) for _ in range(3)]
    (their_call, their_reset), (our_call, our_reset) = (
        [statistics.median(us) for us in zip(*runs, strict=True)] for runs in zip(*rounds, strict=True)
    )
    per_episode = sum(map(len, chosen)) / len(chosen)
    their_us, our_us = their_call + their_reset / per_episode, our_call + our_reset / per_episode
    return [
        Measured("tool call in tau-bench's environment, without the reset", "us", their_call),
        Measured("tool call in SpecRetail-v0, same data, without the reset", "us", our_call),
        Measured("tool call in tau-bench's environment, with its share of a reset", "us", their_us),
        Measured("tool call in SpecRetail-v0, same data, with its share of a reset", "us", our_us),
        Measured("tool calls in episodes of SpecRetail-v0 for one in tau-bench's", "x", their_us / our_us, 10, True),
    ]


def _calls_us(env: Any, episodes: Iterable[list[Any]], begin: Callable[[int], None]) -> tuple[float, float]:
    """Microseconds of one core for a step, and for the reset of an episode."""
    spent, resetting, count, resets = 0.0, 0.0, 0, 0
    for index, actions in enumerate(episodes):
        start = time.process_time()
        begin(index)
        begun = time.process_time()
        for action in actions:
            env.step(action)
        spent, count = spent + time.process_time() - begun, count + len(actions)
        resetting, resets = resetting + begun - start, resets + 1
    return spent / count * 1e6, resetting / resets * 1e6


def _hm(query: object) -> str:
    return "Hm."
