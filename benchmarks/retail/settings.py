"""How tasks of ``SpecRetail-v0`` are run: the options of ``spec-envs bench retail``, and the tasks that they mean."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.loading import load_tasks
from spec_envs.wrappers import Limits

if TYPE_CHECKING:
    from spec_envs.retail.tasks import Task

Tasks = Literal["embedded", "tau-bench"]
Guesses = Literal["pattern", "llm", "user-model", "union"]
Clock = Literal["virtual", "wall"]

#: The data of an episode are its own, so a read is good for as long as what it has read is the same.
_READS_S = 24 * 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RetailSettings:
    """How the tasks are run.

    Args:
        tasks: Of the generated shop, or tau-bench's.
        data: The folder with tau-bench's data; none for the generated shop.
        task_file: tau-bench's tasks. Default: the file ``tasks*.json`` in ``data``.
        split: Which tasks are run.
        num_tasks: How many of them, from the first on; ``None``: all.
        folds: Learn from the tasks of other customers of the split, which is divided into so many parts. Default:
            learn from the split "train" (generated shop), or 5 parts (tau-bench, whose train tasks hold no look-ups).
        learn: From how many tasks to learn at most; ``None``: all.
        guesses: Who guesses: ``PatternGuesser`` the agent's calls, and prefetches; ``ReplyGuesser`` the customer's
            messages; both; or a chat model, which is asked for both and has learned from nothing.
        model: For "llm": the model's name.
        base_url: Of the server that has it; ``None``: as the environment says.
        guess_seconds: For "llm": how long a guess of it is taken to last.
        k: Guesses for one call.
        max_inflight: Speculative calls at once.
        actor_seconds: How long the agent thinks.
        typing_wpm: How many words a minute the customer types.
        tool_seconds: How long a tool takes.
        turn_calls: For ``api_correct_rate``: calls that may be predicted for one turn.
        clock: ``"virtual"`` (one thread, seconds of waiting pass in no time), or ``"wall"`` (threads, real waiting).
        speed: On the wall clock: seconds of the experiment in one second.
        seed: Of episodes and guessers.
        min_probability: Branches less probable than this are not followed.

    Raises:
        InvalidConfiguration: A value makes no sense; says which.
    """

    tasks: Tasks = "embedded"
    data: Path | None = None
    task_file: Path | None = None
    split: str = "test"
    num_tasks: int | None = None
    folds: int | None = None
    learn: int | None = None
    guesses: Guesses = "union"
    model: str | None = None
    base_url: str | None = None
    guess_seconds: float = 1.0
    k: int = 3
    max_inflight: int | None = None
    actor_seconds: float = 5.0
    typing_wpm: float = 40.0
    tool_seconds: float = 0.5
    turn_calls: int = 5
    clock: Clock = "virtual"
    speed: float = 100.0
    seed: int = 0
    min_probability: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("seed", 0), ("turn_calls", 1), ("num_tasks", 1), ("learn", 1), ("folds", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InvalidConfiguration(f"{name} must be at least {least}, not {value!r}")
        for name, choices in (("tasks", Tasks), ("guesses", Guesses), ("clock", Clock)):
            if getattr(self, name) not in get_args(choices):
                raise InvalidConfiguration(f"{name} must be one of {get_args(choices)}, not {getattr(self, name)!r}")
        for name in ("actor_seconds", "tool_seconds", "guess_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidConfiguration(f"{name} must be at least 0 and finite, not {getattr(self, name)!r}")
        for name in ("typing_wpm", "speed"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidConfiguration(f"{name} must be above 0 and finite, not {getattr(self, name)!r}")
        if (self.tasks == "tau-bench") != (self.data is not None):
            raise InvalidConfiguration(
                "--tasks tau-bench needs --data, the folder with tau-bench's data, and other tasks do not"
            )
        if (self.guesses == "llm") != (self.model is not None):
            raise InvalidConfiguration(f"--guesses llm needs --model, and others do not; they are {self.guesses!r}")
        _ = self.limits  # checks the others

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        places = 4 if self.max_inflight is None else self.max_inflight
        return Limits(max_inflight=places, min_probability=self.min_probability, read_ttl_s=_READS_S)

    @property
    def time_scale(self) -> float:
        """Seconds of the experiment in one second of the clock."""
        return self.speed if self.clock == "wall" else 1.0

    @property
    def source(self) -> str:
        """What ``SpecRetail-v0`` takes as its data."""
        return "embedded" if self.data is None else str(self.data)

    def load(self, split: str | None = None) -> tuple[Task, ...]:
        """The tasks of a split. Default: that of the settings.

        Raises:
            InvalidConfiguration: There is no such file, or no such split in it.
        """
        split = split or self.split
        if self.data is None:
            return load_tasks("embedded", split)
        if self.task_file is not None:
            return load_tasks(self.task_file, split)
        files = sorted(self.data.glob("tasks*.json"))
        if len(files) != 1:
            found = ", ".join(each.name for each in files) or "none"
            raise InvalidConfiguration(f"{self.data} holds not one file tasks*.json, but {found}; give --task-file")
        return load_tasks(files[0], split)


def folds_of(settings: RetailSettings) -> list[tuple[tuple[Task, ...], tuple[Task, ...]]]:
    """Pairs of tasks to learn from and tasks to run. No customer is in both.

    Raises:
        InvalidConfiguration: There are too few customers for the folds.
    """
    tasks = settings.load()[: settings.num_tasks]
    parts = settings.folds or (5 if settings.tasks == "tau-bench" else None)
    if parts is None:
        if settings.split == "train":
            raise InvalidConfiguration('the tasks of split "train" are learned from; give folds to run them')
        return [(settings.load("train")[: settings.learn], tasks)]
    users = list(dict.fromkeys(task.user_id for task in tasks))
    if len(users) < parts:
        raise InvalidConfiguration(f"{parts} folds need at least as many customers, and there are {len(users)}")
    folds = []
    for part in range(parts):
        held_out = set(users[part::parts])
        known = [task for task in tasks if task.user_id not in held_out][: settings.learn]
        folds.append((tuple(known), tuple(task for task in tasks if task.user_id in held_out)))
    return folds
