"""Do the environment, the data and the hash agree with tau-bench's? Replays gold actions and says what came of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import gymnasium as gym

from spec_envs.benchmarks.reports import progress
from spec_envs.forking import fork
from spec_envs.retail.tools.table import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spec_envs.retail.tasks import Action


def run(data: str, tasks: str, target: Path) -> None:
    """Replay the tasks' gold actions and write a JSON list of ``{split, index, outputs, data_hash}``.

    Args:
        data: As ``SpecRetail-v0`` takes it.
        tasks: As ``SpecRetail-v0`` takes it.
        target: A file, or ``-`` for the standard output.
    """
    options: dict[str, Any] = {"data": data, "tasks": tasks, "split": None, "max_steps": None}
    with gym.make("SpecRetail-v0", customer=_silent, **options) as env:
        num_tasks = len(env.unwrapped.tasks)  # type: ignore[attr-defined]
        with progress("tasks", num_tasks) as report:
            results = []
            for result in replayed(env):
                results.append(result)
                report(len(results))
    text = json.dumps(results)
    if str(target) == "-":
        click.echo(text)
    else:
        target.write_text(text + "\n", encoding="utf-8")


def replayed(env: gym.Env[Any, Any]) -> Iterator[dict[str, Any]]:
    """What the tools answered and the hash of the data after it, one episode for each of the environment's tasks."""
    unwrapped: Any = env.unwrapped
    for task in unwrapped.tasks:
        env.reset(seed=0, options={"task": task})
        outputs = [_output(env, action) for action in task.actions]
        data_hash = unwrapped.episode.store.tau_hash()
        yield {"split": task.split, "index": task.index, "outputs": outputs, "data_hash": data_hash}


def _output(env: gym.Env[Any, Any], action: Action) -> str:
    """What the tool answers.

    A tool that ends the episode is called on a fork: gold actions may go on after it, and as in tau-bench's reward its
    output counts, not what it does to the data.
    """
    place = fork(env) if action.name in TERMINAL else env
    observation, *_ = place.step({"name": action.name, "arguments": dict(action.arguments)})
    return str(json.loads(observation["dialogue"])[-1]["content"])


def _silent(query: object) -> str:
    return ""
