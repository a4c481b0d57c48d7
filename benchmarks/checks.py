"""``spec-envs retail replay``, ``retail certify`` and ``tuning certify``.

Does the shop do what the benchmark's shop does, and does speculation change nothing?
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from spec_envs.agents import PatternGuesser, ReplyGuesser
from spec_envs.agents.retail.scripted_policy import ScriptedRetailPolicy
from spec_envs.benchmarks.reports import collected, watched, write_text
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.benchmarks.retail.cast import GoldClerk, agent_of, customer_of, tasks_of, tool_set_of, tools_of
from spec_envs.benchmarks.retail.run import Guessers, run_plainly
from spec_envs.calls import Call
from spec_envs.errors import InvalidConfiguration
from spec_envs.forking import fork
from spec_envs.guesses import Guess
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.loading import folder_of, load_data
from spec_envs.retail.tasks import Action
from spec_envs.retail.tools.table import TOOL_SETS
from spec_envs.retail.tools.tau3 import TEXTS
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.measurement import Workload
from spec_envs.tuning.report import Report
from spec_envs.wrappers import Certificate, certify
from spec_envs.wrappers.handlers import with_latency

#: The beginning of an answer to a wrong call.
_ERROR = "Error: "


def write_replay(data: str, tasks: str | None, target: Path) -> None:
    """Replay the tasks' gold actions and write a JSON list, in the form of the benchmark whose data they are.

    For tau-bench an entry is ``{split, index, outputs, data_hash}``, and an output is the text that the agent sees. For
    τ³-bench it is ``{id, outputs, db_hash}``, and an output is ``{ok, output}``: a record as an object, a text, or the
    text of an error.
    """
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
        store = unwrapped.episode.store
        if store.dialect == "tau3":
            parsed = [_parsed(action.name, output) for action, output in zip(task.actions, outputs, strict=True)]
            yield {"id": task.name, "outputs": parsed, "db_hash": store.tau_hash()}
        else:
            yield {"split": task.split, "index": task.index, "outputs": outputs, "data_hash": store.tau_hash()}


def _parsed(name: str, output: str) -> dict[str, Any]:
    failed = output.startswith(_ERROR)
    if failed or name in TEXTS:
        return {"ok": not failed, "output": output.removeprefix(_ERROR)}
    return {"ok": True, "output": json.loads(output)}


def _output(env: gym.Env[Any, Any], action: Action) -> str:
    """The output of the tool.

    A tool that ends the episode is called on a fork, since more gold actions may follow it. As in the reward of
    tau-bench, the output of such a tool counts, and its changes to the data do not.
    """
    unwrapped: Any = env.unwrapped
    called = fork(env) if action.name in TOOL_SETS[unwrapped.episode.store.dialect].terminal else env
    observation, *_ = called.step({"name": action.name, "arguments": dict(action.arguments)})
    return str(json.loads(observation["dialogue"])[-1]["content"])


def _silent(query: object) -> str:
    return ""


def certify_retail(
    seeds: Sequence[int], learn: int = 40, data: str = "embedded", tasks: str | None = None
) -> Certificate:
    """Compare an episode for each seed, with guessers that have learned from ``learn`` tasks and go on learning.

    Args:
        seeds: The seeds; each draws one of all tasks.
        learn: How many tasks the guessers have learned from; of the generated tasks, those of the split "train".
        data: "embedded", or a folder with the data of tau-bench or τ³-bench, whose gold actions the agent then takes.
        tasks: The file with the benchmark's tasks. Default: that in the folder.
    """
    settings = _settings_for(data, tasks)
    played = tasks_of(settings, "all")
    known = tasks_of(settings, "train") if settings.data is None else played
    agent = ScriptedRetailPolicy(error_rate=0.1) if settings.data is None else GoldClerk(played)
    guessers = Guessers(PatternGuesser(reads=tool_set_of(settings).reads), ReplyGuesser())
    known = known[:learn]
    guessers.learn([run_plainly(task, settings) for task in watched(known, "learning", len(known))])
    assert guessers.pattern is not None and guessers.replies is not None
    return certify(
        lambda: RetailEnv(data=settings.source, tasks=played, customer=customer_of(settings), tools=tools_of(settings)),
        agent_of(agent, settings),
        {"policy": guessers.pattern, "user": guessers.replies},
        watched(seeds, "comparing", len(seeds)),
        prefetchers={"user": guessers.pattern},
        k=settings.k,
        limits=settings.limits,
        runtime="simulation",
    )


def _settings_for(data: str, tasks: str | None) -> RetailSettings:
    if data == "embedded":
        if tasks not in (None, "embedded"):
            raise InvalidConfiguration('with data "embedded", give no tasks: all embedded ones are played')
        return RetailSettings()
    dialect = load_data(data).dialect
    return RetailSettings(tasks=dialect, data=folder_of(data), task_file=None if tasks is None else Path(tasks))


_WINDOWS = 8
_THINKING_S = 10.0


def certify_tuning(workload: Workload, seeds: Sequence[int]) -> Certificate:
    """Certify episodes in virtual time. Half of the guesses of settings and of measurements are right."""
    backend = SimulatedBackend(workload, carry_over=0.3, paced=True)
    plain = SimulatedBackend(workload, carry_over=0.3)

    def policy(observation: str) -> dict[str, Any]:
        """Choose a setting that depends on every digit of the observation, and on nothing else."""
        trials = Report.of(observation, workload.knobs).trials
        drawn = zlib.crc32(repr(trials).encode())
        best = min(trials, key=lambda trial: trial.metrics.p95)
        knob = workload.knobs[drawn % len(workload.knobs)]
        return {**dict(best.knobs), knob.name: knob.grid[drawn // 7 % len(knob.grid)]}

    return certify(
        lambda: gym.make("SpecTuning-v0", backend=backend, windows=_WINDOWS, observation="text"),
        with_latency(policy, _THINKING_S),
        {
            "policy": _Halfway(lambda call: policy(call.query)),
            "measure": _Halfway(lambda call: plain(call.query, None)),
        },
        watched(seeds, "comparing", len(seeds)),
        runtime="simulation",
    )


class _Halfway:
    """Guesses right for half of the calls, and for the others repeats the response of the last call."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._last: Any = None

    def guess(self, call: Call, k: int) -> list[Guess]:
        """One guess."""
        right = self._answer(call)
        guessed, self._last = (right, right) if zlib.crc32(repr(call.query).encode()) % 2 else (self._last, right)
        return [] if guessed is None else [Guess(guessed, 0.5)]
