"""The agents, customers, tools and guessers of ``spec-envs bench retail``, all of which take their time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from spec_envs.agents.retail.scripted_policy import GoldReplay, ScriptedRetailPolicy
from spec_envs.benchmarks.episodes import folds_by
from spec_envs.benchmarks.retail import RetailSettings
from spec_envs.calls import Call, Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess, Situation
from spec_envs.handling import CancelToken, as_guess
from spec_envs.retail.actions import read_action
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.loading import load_data, load_tasks, task_file_in
from spec_envs.retail.queries import STOP, CustomerQuery, instant_tools
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tasks import Task, customer_in
from spec_envs.retail.tools.table import TOOL_SETS, ToolSet
from spec_envs.usage import Usage
from spec_envs.values import key_of
from spec_envs.wrappers.handlers import DecoratedHandler, with_latency

#: About how many characters a token has.
_TOKEN = 4.0
#: How long a guess takes: measured, rounded up.
PATTERN_S, REPLY_S = 0.005, 0.001


class Person:
    """Somebody who answers as ``answer`` does, and takes a given time, the time to compute the answer included."""

    def __init__(
        self,
        answer: Callable[[Any], Any],
        effect: Effect,
        seconds_of: Callable[[Any], float],
        usage_of: Callable[[Any, Any], Usage] = lambda query, answer: Usage(),
    ) -> None:
        self.effect = effect
        self._answer = answer
        self._seconds_of = seconds_of
        self._usage_of = usage_of

    def __call__(self, query: Any, cancel: CancelToken) -> Any:
        """Return the answer."""
        start = cancel.now()
        answer = self._answer(query)
        cancel.sleep(start + self._seconds_of(answer) - cancel.now(), self._usage_of(query, answer))
        return answer


def agent_of(policy: Callable[[Mapping[str, str]], Any], settings: RetailSettings) -> Person:
    """A policy that thinks, and costs about as many tokens as a language model would."""
    return Person(policy, Effect.SAMPLE, lambda action: settings.actor_seconds / settings.time_scale, _usage)


def _usage(observation: Mapping[str, str], action: Any) -> Usage:
    read = read_action(action)
    written = read if isinstance(read, str) else "".join(f"{call.name}{call.text}" for call in read)
    return Usage(tokens_in=sum(map(len, observation.values())) / _TOKEN, tokens_out=len(written) / _TOKEN)


def customer_of(settings: RetailSettings) -> Person:
    """A customer who types."""
    return Person(
        player_of(settings), Effect.WRITE, lambda message: typing_seconds(message, settings) / settings.time_scale
    )


def tells_all(query: CustomerQuery) -> str:
    """A customer for a task with nothing but an instruction: says all of it at once, and then that this was all."""
    if len(query.said) == 1:
        return in_first_person(query.task.instruction)
    return f"That is all, thank you. {STOP}"


def in_first_person(instruction: str) -> str:
    """An instruction for somebody who plays a customer, roughly as the customer would say it."""

    def spoken(words: re.Match[str]) -> str:
        said = _SPOKEN[words[0].lower()]
        return said[0].upper() + said[1:] if words[0][0] == "Y" else said

    return _ADDRESSED.sub(spoken, instruction)


_SPOKEN = {"you are": "I am", "you're": "I'm", "your": "my", "yourself": "myself", "you": "I"}
_ADDRESSED = re.compile(rf"\b[Yy](?:{'|'.join(words[1:] for words in _SPOKEN)})\b")


def typing_seconds(message: str, settings: RetailSettings) -> float:
    """How long the customer types a message; the sign that ends the conversation is not typed."""
    return len(message.replace(STOP, "").split()) * 60 / settings.typing_wpm


def policy_of(task: Task, settings: RetailSettings) -> Callable[[Mapping[str, str]], Any]:
    """The agent without its delay: the scripted one, or for the tasks of a benchmark their gold actions."""
    return ScriptedRetailPolicy() if settings.tasks == "embedded" else GoldReplay(task)


class GoldClerk:
    """Takes the gold actions of whichever of the tasks the customer ``tells_all`` of."""

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._replays = {in_first_person(task.instruction): GoldReplay(task) for task in tasks}

    def __call__(self, observation: Mapping[str, str]) -> Any:
        """Return the task's next gold action, or the closing message."""
        return self._replays[json.loads(observation["dialogue"])[0]["content"]](observation)


def player_of(settings: RetailSettings) -> Callable[[CustomerQuery], str]:
    """The customer without the delay."""
    return scripted_customer if settings.tasks == "embedded" else tells_all


def tools_of(settings: RetailSettings) -> DecoratedHandler:
    """Tools that work on the episode's own data, so that all of them may be called ahead of time."""
    return with_latency(instant_tools, settings.tool_seconds / settings.time_scale)


class Frozen:
    """A guesser that takes ``seconds`` for a guess, and learns nothing more, so that no task learns from another.

    It remembers its guesses: on a wall clock that runs a hundred times faster than the experiment, the time to compute
    a guess would count a hundredfold; so all guesses of a task are made beforehand, in virtual time.
    """

    def __init__(self, inner: Any, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._known: dict[Hashable, Sequence[Guess]] = {}

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        """Return the inner guesses."""
        return self._answer((call.key, k), lambda: as_guess(self._inner.guess)(call, k, cancel), cancel)

    def prefetch(self, situation: Situation, k: int, cancel: CancelToken) -> Sequence[Guess]:
        """Return the actions that the inner guesser prefetches."""
        return self._answer((key_of(situation), k), lambda: self._inner.prefetch(situation, k), cancel)

    def _answer(self, key: Hashable, guess: Callable[[], Sequence[Guess]], cancel: CancelToken) -> Sequence[Guess]:
        start = cancel.now()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = guess()
        cancel.sleep(start + self._seconds - cancel.now())
        return found

    def faster(self, speed: float) -> Frozen:
        """A twin that remembers the same guesses, and is ``speed`` times as fast."""
        twin = Frozen(self._inner, self._seconds / speed)
        twin._known = self._known
        return twin


def tool_set_of(settings: RetailSettings) -> ToolSet:
    """The tools of the benchmark whose tasks are run; the generated shop has those of tau-bench."""
    return TOOL_SETS["tau3" if settings.tasks == "tau3" else "tau-bench"]


def tasks_of(settings: RetailSettings, split: str | None = None) -> tuple[Task, ...]:
    """The tasks of a split, or for "all" all tasks. Default: the split of the settings.

    Raises:
        InvalidConfiguration: The file with the tasks does not exist, has no such split, or is another benchmark's.
    """
    split = split or settings.split
    source = "embedded" if settings.data is None else settings.task_file or task_file_in(settings.data)
    tasks = load_tasks(source, None if split == "all" else split)
    if any(bool(task.id) != (settings.tasks == "tau3") for task in tasks):
        other = "tau-bench" if settings.tasks == "tau3" else "tau3"
        raise InvalidConfiguration(
            f"--tasks {settings.tasks}, and {source} has tasks of the other benchmark: give --tasks {other}, or "
            f"another --task-file"
        )
    return tasks


def folds_of(settings: RetailSettings) -> list[tuple[tuple[Task, ...], tuple[Task, ...]]]:
    """Pairs of tasks to learn from and tasks to run. No customer is in both.

    Raises:
        InvalidConfiguration: There are fewer tasks than are to be run, or too few customers for the folds.
    """
    tasks = tasks_of(settings)
    if settings.num_tasks is not None and settings.num_tasks > len(tasks):
        raise InvalidConfiguration(
            f"--num-tasks {settings.num_tasks}, and split {settings.split} has {len(tasks)}: give at most as many, or "
            "leave out --num-tasks to run all"
        )
    tasks = tasks[: settings.num_tasks]
    parts = settings.folds or (None if settings.tasks == "embedded" else 5)
    if parts is None:
        if settings.split in ("train", "all"):
            raise InvalidConfiguration(
                'guessers learn from the tasks of split "train", so these cannot be run as well; give --folds to '
                "learn from a part of them, and run the others"
            )
        return [(tasks_of(settings, "train")[: settings.learn], tasks)]
    store = StoreSnapshot(load_data(settings.source))
    folds = folds_by(tasks, lambda task: customer_in(store, task) or task.name, parts, "customers")
    return [(tuple(known[: settings.learn]), tuple(run)) for known, run in folds]
