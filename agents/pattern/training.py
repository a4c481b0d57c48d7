"""Learning from recorded conversations: memory first, then the models, then how far they can be trusted."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from spec_envs.agents.pattern.index import Index
from spec_envs.agents.pattern.moment import State
from spec_envs.agents.pattern.window_model import Lesson, WindowModel, study
from spec_envs.conversation import AssistantMessage, Event, ToolCall, ToolResult, Trajectory, UserMessage

if TYPE_CHECKING:
    from spec_envs.agents.pattern.memory import Memory

#: Parts that the tasks are divided into to see how well a model does on tasks that it has not learned from.
_FOLDS = 3
#: Predictions that are made for that, at most.
_MAX_TRIALS = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """A moment at which something is to be predicted.

    Args:
        task: Of the conversation.
        index: The conversation up to here; to be used before the next moment is asked for.
        right: What may be predicted; ``None`` stands for a message to the user.
    """

    task: str
    index: Index
    right: tuple[ToolCall | None, ...]


def moments(model: WindowModel, memory: Memory, trajectory: Trajectory) -> Iterator[Moment]:
    """All moments of a conversation that teach ``model`` something."""
    if model.seen:
        return _acts(trajectory)
    return itertools.chain.from_iterable(
        turn_moments(model, memory, trajectory, position)
        for position, event in enumerate(trajectory.conversation.events)
        if isinstance(event, UserMessage)
    )


def _acts(trajectory: Trajectory) -> Iterator[Moment]:
    """Wherever the agent acts, and what it does."""
    index = Index()
    for event in trajectory.conversation.events:
        if isinstance(event, ToolCall | AssistantMessage):
            yield Moment(trajectory.task, index, (event if isinstance(event, ToolCall) else None,))
        index.extend([event])


def turn_moments(model: WindowModel, memory: Memory, trajectory: Trajectory, position: int) -> Iterator[Moment]:
    """Before the user's message at ``position``: all calls that the agent makes before it answers that message.

    Then again after the first of them that could have been guessed, with its result, and so on: as calls that run ahead
    while the user types go on from each other's results. They need not come in the order in which the agent makes them:
    an order's number may be known before its owner's, and lead to it.
    """
    events = trajectory.conversation.events
    index = Index.of(trajectory.conversation.until(position))
    turn = list(itertools.takewhile(lambda event: not isinstance(event, UserMessage), events[position + 1 :]))
    rest = _answered(turn)
    while True:
        yield Moment(trajectory.task, index, tuple(call for call, _ in rest.values()) or (None,))
        state = State(index, memory, trajectory.task)
        known = (key for key, (call, result) in rest.items() if result and model.arguments.knows(state, call))
        key = next(known, None)
        if key is None:
            return
        call, result = rest.pop(key)
        assert result is not None
        index.extend([call, result])


def _answered(turn: Sequence[Event]) -> dict[str, tuple[ToolCall, ToolResult | None]]:
    """The different calls of a turn by key, each with its result if that is there and no error."""
    calls = [event for event in turn if isinstance(event, ToolCall)]
    found: dict[str, tuple[ToolCall, ToolResult | None]] = {call.key: (call, None) for call in calls}
    for result in turn:
        if isinstance(result, ToolResult) and calls:
            call = next((call for call in calls if call.id == result.id), calls[0])
            calls.remove(call)
            if not result.error:
                found[call.key] = (call, result)
    return found


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
    groups = [
        (moment.task, model.lessons(State(moment.index, memory, moment.task), moment.right))
        for moment in _moments(model, memory, trajectories)
    ]
    _calibrate(model, memory, trajectories, groups, rounds, seed)
    study([lessons for _, lessons in groups], rounds, seed)


def _moments(model: WindowModel, memory: Memory, trajectories: Sequence[Trajectory]) -> Iterator[Moment]:
    return itertools.chain.from_iterable(moments(model, memory, trajectory) for trajectory in trajectories)


def _calibrate(
    model: WindowModel,
    memory: Memory,
    trajectories: Sequence[Trajectory],
    groups: Sequence[tuple[str, list[Lesson]]],
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
            for task, lessons in groups
            if fold_of[task] != fold
        ]
        study(others, rounds, seed)
        trials.append(trial)
    chosen = set(rng.sample(range(len(groups)), min(len(groups), _MAX_TRIALS)))
    for number, moment in enumerate(_moments(model, memory, trajectories)):
        if number in chosen:
            found = trials[fold_of[moment.task]].predict(State(moment.index, memory, moment.task), 8)
            model.curve.observe(ranks_of(found, moment.right), [p for _, p in found])


def ranks_of(predicted: Sequence[tuple[ToolCall, float]], right: Iterable[ToolCall | None]) -> set[int]:
    """The places among the predicted calls of those that are right."""
    keys = {call.key for call in right if call is not None}
    return {rank for rank, (call, _) in enumerate(predicted) if call.key in keys}
