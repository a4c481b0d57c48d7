"""How often is an agent's next tool call among the first guesses, given the conversation before it?

The conversations are recorded, and there is no environment. For every tool call in a file (of every tool, also of those
whose argument is free text), the guesser is given the conversation before the call, with the user's last message. The
call counts as guessed by the first k guesses if one of them has the same name and the same arguments, compared as JSON
in canonical form (keys in any order, ``60.0`` is ``60``, lists in their order). The conversations of one task are
either all learned from or all predicted.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from spec_envs.agents.pattern.guesser import PatternGuesser
from spec_envs.conversation import AssistantMessage, ToolCall, Trajectory
from spec_envs.errors import InvalidConfiguration

#: How many guesses may be used.
RANKS = (1, 3, 5, 8)
#: A tool whose name starts with one of these words counts as a read: it changes nothing.
READS = frozenset("calculate check find get list look lookup query read retrieve search show think view".split())


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One moment at which the agent acted.

    Args:
        tool: The tool that the agent called; ``None``: the agent answered the user.
        rank: Rank of the call among the guesses, from 0; ``None`` if it was not among them.
        claims: Probabilities of the guesses.
        first: Whether the first guess had the right tool.
        seconds: How long the guesser took.
    """

    tool: str | None
    rank: int | None
    claims: tuple[float, ...]
    first: bool
    seconds: float


def measure(
    trajectories: Sequence[Trajectory],
    train: Sequence[Trajectory] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> tuple[list[Trial], float]:
    """Predict every act in ``trajectories``; also returns the seconds that learning took.

    Args:
        trajectories: The conversations to predict.
        train: The conversations to learn from; ``None``: those of the other tasks, in ``folds`` parts.
        folds: Number of those parts. Every ``folds``-th task, in the order of the file, is in the same part.
        seed: Seed of the guesser.
        advance: Called after each conversation.

    Raises:
        InvalidConfiguration: There are fewer tasks than folds.
    """
    trials: list[Trial] = []
    learning = 0.0
    for known, unknown in _splits(trajectories, train, folds):
        guesser = PatternGuesser(seed=seed)
        start = time.perf_counter()
        guesser.learn(known, seen=True)
        learning += time.perf_counter() - start
        for trajectory in unknown:
            trials += trials_of(guesser, trajectory)
            if advance is not None:
                advance()
    return trials, learning


def _splits(
    trajectories: Sequence[Trajectory], train: Sequence[Trajectory] | None, folds: int
) -> Iterator[tuple[Sequence[Trajectory], Sequence[Trajectory]]]:
    if train is not None:
        yield train, trajectories
        return
    tasks = list(dict.fromkeys(each.task for each in trajectories))
    if len(tasks) < folds:
        raise InvalidConfiguration(f"{folds} folds need at least as many tasks, and there are {len(tasks)}: {tasks}")
    for fold in range(folds):
        held_out = set(tasks[fold::folds])
        known = [each for each in trajectories if each.task not in held_out]
        yield known, [each for each in trajectories if each.task in held_out]


def trials_of(guesser: PatternGuesser, trajectory: Trajectory) -> Iterator[Trial]:
    """Predict every act of the agent in ``trajectory``."""
    conversation = trajectory.conversation
    for position, event in enumerate(conversation.events):
        if not isinstance(event, ToolCall | AssistantMessage):
            continue
        before = conversation.until(position)
        start = time.perf_counter()
        predicted = guesser.predict(before, max(RANKS))
        seconds = time.perf_counter() - start
        claims = tuple(p for _, p in predicted)
        if isinstance(event, AssistantMessage):
            yield Trial(None, None, claims, False, seconds)
            continue
        keys = [call.key for call, _ in predicted]
        rank = keys.index(event.key) if event.key in keys else None
        yield Trial(event.name, rank, claims, bool(predicted) and predicted[0][0].name == event.name, seconds)


def is_read(tool: str) -> bool:
    """Whether a tool's name says that it changes nothing."""
    return tool.replace("-", "_").partition("_")[0].lower() in READS


def tops(trials: Sequence[Trial]) -> dict[str, float | None]:
    """The share of ``trials`` whose call was among the first k guesses."""
    return {f"top{k}": share_of([trial.rank is not None and trial.rank < k for trial in trials]) for k in RANKS}


def share_of(values: Sequence[bool]) -> float | None:
    """The share of ``values`` that are true; ``None`` without any."""
    return sum(values) / len(values) if values else None
