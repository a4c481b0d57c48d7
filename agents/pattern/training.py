"""Learning from recorded conversations: memory first, then the models, then how far they can be trusted."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from spec_envs.agents.pattern.index import Index
from spec_envs.agents.pattern.model import Lesson, WindowModel, study
from spec_envs.agents.pattern.state import State
from spec_envs.conversation import AssistantMessage, Event, ToolCall, Trajectory, UserMessage

if TYPE_CHECKING:
    from spec_envs.agents.pattern.memory import Memory

#: Parts that the tasks are divided into to see how well a model does on tasks that it has not learned from.
_FOLDS = 3
#: Predictions that are made for that, at most.
_MAX_TRIALS = 200


class Decision(NamedTuple):
    """The agent was to act after ``length`` events of a trajectory, and did ``action`` (``None``: a message)."""

    trajectory: int
    length: int
    action: ToolCall | None


def decisions(events: Sequence[Event], seen: bool, trajectory: int = 0) -> Iterator[Decision]:
    """All moments at which an agent's action is to be predicted: after every event, or before every user message."""
    for position, event in enumerate(events):
        if isinstance(event, ToolCall | AssistantMessage):
            action = event if isinstance(event, ToolCall) else None
            if seen:
                yield Decision(trajectory, position, action)
            elif position and isinstance(events[position - 1], UserMessage):
                yield Decision(trajectory, position - 1, action)


def remember(memory: Memory, index: Index, task: str) -> None:
    """Add the last event of ``index`` to ``memory``."""
    event = index.events[-1]
    if isinstance(event, UserMessage | AssistantMessage):
        _, text = (index.users if isinstance(event, UserMessage) else index.agents)[-1]
        memory.add_glosses(text.glosses, task)
        if isinstance(event, UserMessage):
            memory.add_names(text.names, task)
    elif isinstance(event, ToolCall):
        memory.add(event, task, {name: None for _, text in index.users for name in text.names})


def remember_all(memory: Memory, trajectories: Sequence[Trajectory]) -> None:
    """Add whole trajectories to ``memory``."""
    for trajectory in trajectories:
        memory.meet(trajectory.conversation.tools)
        index = Index()
        for event in trajectory.conversation.events:
            index.extend([event])
            remember(memory, index, trajectory.task)


def train(model: WindowModel, memory: Memory, trajectories: Sequence[Trajectory], rounds: int, seed: int) -> None:
    """Teach ``model`` what ``trajectories`` show, after ``memory`` has seen them."""
    groups: list[tuple[Decision, list[Lesson]]] = []
    for decision, index in _moments(trajectories, model.seen):
        state = State(index, memory, trajectories[decision.trajectory].task)
        groups.append((decision, model.lessons(state, decision.action)))
    _calibrate(model, memory, trajectories, groups, rounds, seed)
    study([lessons for _, lessons in groups], rounds, seed)


def _moments(trajectories: Sequence[Trajectory], seen: bool) -> Iterator[tuple[Decision, Index]]:
    for number, trajectory in enumerate(trajectories):
        index, events = Index(), trajectory.conversation.events
        for decision in decisions(events, seen, number):
            index.extend(events[len(index.events) : decision.length])
            yield decision, index


def _calibrate(
    model: WindowModel,
    memory: Memory,
    trajectories: Sequence[Trajectory],
    groups: Sequence[tuple[Decision, list[Lesson]]],
    rounds: int,
    seed: int,
) -> None:
    """Let models that have learned from the other tasks predict, and have the curve learn what came true."""
    tasks = sorted({trajectory.task for trajectory in trajectories})
    if len(tasks) < _FOLDS:
        return
    rng = random.Random(seed)
    rng.shuffle(tasks)
    fold_of = {task: number % _FOLDS for number, task in enumerate(tasks)}
    trials = []
    for fold in range(_FOLDS):
        trial = copy.deepcopy(model)
        rankers = {id(model.calls.ranker): trial.calls.ranker, id(model.arguments.ranker): trial.arguments.ranker}
        others = [
            [(rankers[id(ranker)], rows, right) for ranker, rows, right in lessons]
            for decision, lessons in groups
            if fold_of[trajectories[decision.trajectory].task] != fold
        ]
        study(others, rounds, seed)
        trials.append(trial)
    chosen = set(rng.sample(range(len(groups)), min(len(groups), _MAX_TRIALS)))
    for number, (decision, index) in enumerate(_moments(trajectories, model.seen)):
        if number in chosen:
            task = trajectories[decision.trajectory].task
            found = trials[fold_of[task]].predict(State(index, memory, task), 8)
            right = None if decision.action is None else rank_of(found, decision.action)
            model.curve.observe(right, [p for _, p in found])


def rank_of(predicted: Sequence[tuple[ToolCall, float]], action: ToolCall) -> int | None:
    """The place of ``action`` among the predicted calls."""
    keys = [call.key for call, _ in predicted]
    return keys.index(action.key) if action.key in keys else None
