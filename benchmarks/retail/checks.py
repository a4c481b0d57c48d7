"""``spec-envs retail replay`` and ``certify``: is the shop tau-bench's, and does speculation change nothing?"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from spec_envs.agents import PatternGuesser, ReplyGuesser
from spec_envs.agents.retail.scripted_policy import ScriptedRetailPolicy
from spec_envs.benchmarks.reports import collected, watched, write_text
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.retail.cast import agent_of, customer_of, tasks_of, tools_of
from spec_envs.benchmarks.retail.run import Guessers, run_plainly
from spec_envs.forking import fork
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.tasks import Action
from spec_envs.retail.tools.table import READS, TERMINAL
from spec_envs.wrappers import Certificate, certify


def run(data: str, tasks: str, target: Path) -> None:
    """Replay the tasks' gold actions and write a JSON list of ``{split, index, outputs, data_hash}``."""
    options: dict[str, Any] = {"data": data, "tasks": tasks, "split": None, "max_steps": None}
    with gym.make("SpecRetail-v0", customer=_silent, **options) as env:
        num_tasks = len(env.unwrapped.tasks)  # type: ignore[attr-defined]
        results = collected(replayed(env), "tasks", num_tasks)
    write_text(json.dumps(results), target)


def replayed(env: gym.Env[Any, Any]) -> Iterator[dict[str, Any]]:
    """For each task of the environment, the outputs of the tools and the hash of the data at the end."""
    unwrapped: Any = env.unwrapped
    for task in unwrapped.tasks:
        env.reset(seed=0, options={"task": task})
        outputs = [_output(env, action) for action in task.actions]
        data_hash = unwrapped.episode.store.tau_hash()
        yield {"split": task.split, "index": task.index, "outputs": outputs, "data_hash": data_hash}


def _output(env: gym.Env[Any, Any], action: Action) -> str:
    """The output of the tool.

    A tool that ends the episode is called on a fork, since more gold actions may follow it. As in the reward of
    tau-bench, the output of such a tool counts, and its changes to the data do not.
    """
    called = fork(env) if action.name in TERMINAL else env
    observation, *_ = called.step({"name": action.name, "arguments": dict(action.arguments)})
    return str(json.loads(observation["dialogue"])[-1]["content"])


def _silent(query: object) -> str:
    return ""


def certify_retail(seeds: Sequence[int], learn: int = 40) -> Certificate:
    """Compare an episode for each seed, with guessers that have learned from ``learn`` tasks and go on learning."""
    settings = RetailSettings(learn=learn)
    guessers = Guessers(PatternGuesser(reads=READS), ReplyGuesser())
    tasks = tasks_of(settings, "train")[:learn]
    guessers.learn([run_plainly(task, settings) for task in watched(tasks, "learning", len(tasks))])
    assert guessers.pattern is not None and guessers.replies is not None
    return certify(
        lambda: RetailEnv(split=None, customer=customer_of(settings), tools=tools_of(settings)),
        agent_of(ScriptedRetailPolicy(error_rate=0.1), settings),
        {"policy": guessers.pattern, "user": guessers.replies},
        watched(seeds, "comparing", len(seeds)),
        prefetchers={"user": guessers.pattern},
        k=settings.k,
        limits=settings.limits,
        runtime="simulation",
    )
