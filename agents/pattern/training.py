"""Learns from recorded conversations: first the memory, then the models and the calibration of their probabilities."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from spec_envs.agents.pattern import text as texts
from spec_envs.agents.pattern.index import Index
from spec_envs.agents.pattern.memory import Memory
from spec_envs.agents.pattern.moment import MAX_VALUES, Moment
from spec_envs.agents.pattern.window_model import Lesson, WindowModel, study
from spec_envs.conversation import AssistantMessage, Event, ToolCall, ToolResult, Trajectory, UserMessage

#: The number of folds of the tasks, for predictions on tasks that a model has not learned from.
_FOLDS = 3
#: The greatest number of such predictions.
_MAX_TRIALS = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A moment of a recorded conversation, with the calls that should be predicted."""

    task: str
    index: Index  # up to the moment; changed when the next example is made
    right: tuple[ToolCall | None, ...]  # the calls to predict; ``None`` stands for a message to the user


def examples(model: WindowModel, memory: Memory, trajectory: Trajectory) -> Iterator[Example]:
    """Yield the examples of a conversation for the window of ``model``."""
    if model.seen:
        return _acts(trajectory)
    return itertools.chain.from_iterable(
        turn_examples(model, memory, trajectory, position)
        for position, event in enumerate(trajectory.conversation.events)
        if isinstance(event, UserMessage)
    )


def _acts(trajectory: Trajectory) -> Iterator[Example]:
    """Yield an example for each action of the agent."""
    index = Index()
    for event in trajectory.conversation.events:
        if isinstance(event, ToolCall | AssistantMessage):
            yield Example(trajectory.task, index, (event if isinstance(event, ToolCall) else None,))
        index.extend([event])


def turn_examples(
    model: WindowModel, memory: Memory, trajectory: Trajectory, position: int, index: Index | None = None
) -> Iterator[Example]:
    """Yield examples for the time before the user's message at ``position``.

    The first example has all calls that the agent makes before it answers the message. For the next example, the first
    of these calls that could have been guessed is added to the conversation with its result, and so on, because calls
    made ahead of time can use each other's results. Their order may differ from the agent's order: an order's number
    may be known first, and lead to the owner of the order. ``index``, the index of all events before the message, is
    extended if given.
    """
    events = trajectory.conversation.events
    index = index or Index.of(trajectory.conversation.until(position))
    turn = list(itertools.takewhile(lambda event: not isinstance(event, UserMessage), events[position + 1 :]))
    rest = _answered(turn)
    while True:
        yield Example(trajectory.task, index, tuple(call for call, _ in rest.values()) or (None,))
        moment = Moment(index, memory, trajectory.task)
        known = (key for key, (call, result) in rest.items() if result and model.arguments.knows(moment, call))
        key = next(known, None)
        if key is None:
            return
        call, result = rest.pop(key)
        assert result is not None
        index.extend([call, result])


def _answered(turn: Sequence[Event]) -> dict[str, tuple[ToolCall, ToolResult | None]]:
    """Return the different calls of a turn by key, each with its result, unless the result is missing or an error."""
    calls = [event for event in turn if isinstance(event, ToolCall)]
    found: dict[str, tuple[ToolCall, ToolResult | None]] = {call.key: (call, None) for call in calls}
    for result in turn:
        if isinstance(result, ToolResult) and calls:
            call = next((call for call in calls if call.id == result.id), calls[0])
            calls.remove(call)
            if not result.error:
                found[call.key] = (call, result)
    return found


def remember(memory: Memory, index: Index, task: str, place: int) -> None:
    """Add the event at ``place`` of ``index`` to ``memory``."""
    event = index.events[place]
    if isinstance(event, UserMessage | AssistantMessage):
        text = texts.read(event.text)
        memory.add_glosses(text.glosses, task)
        if isinstance(event, UserMessage):
            memory.add_names(text.names, task)
    elif isinstance(event, ToolCall):
        memory.add(event, task, names_before(index, place))


def names_before(index: Index, place: int) -> dict[str, None]:
    """Return the names that the user said before the event at ``place``."""
    return {name: None for time, text in index.users if time < place for name in text.names}


def remember_all(memory: Memory, trajectories: Sequence[Trajectory]) -> None:
    """Add whole trajectories to ``memory``."""
    for trajectory in trajectories:
        memory.meet(trajectory.conversation.tools)
        index = Index.of(trajectory.conversation)
        for place in range(len(index.events)):
            remember(memory, index, trajectory.task, place)


def train(
    model: WindowModel,
    memory: Memory,
    trajectories: Sequence[Trajectory],
    rounds: int,
    seed: int,
    max_values: int = MAX_VALUES,
) -> None:
    """Train ``model`` with ``trajectories``, which must be in ``memory`` already."""

    def moment(example: Example) -> Moment:
        return Moment(example.index, memory, example.task, max_values=max_values)

    found = _examples(model, memory, trajectories)
    groups = [(example.task, model.lessons(moment(example), example.right)) for example in found]
    _calibrate(model, moment, lambda: _examples(model, memory, trajectories), groups, rounds, seed)
    study([lessons for _, lessons in groups], rounds, seed)


def _examples(model: WindowModel, memory: Memory, trajectories: Sequence[Trajectory]) -> Iterator[Example]:
    return itertools.chain.from_iterable(examples(model, memory, trajectory) for trajectory in trajectories)


def _calibrate(
    model: WindowModel,
    moment: Callable[[Example], Moment],
    examples: Callable[[], Iterator[Example]],
    groups: Sequence[tuple[str, list[Lesson]]],
    rounds: int,
    seed: int,
) -> None:
    """Predict with models trained on other tasks, and train the calibration with the outcomes."""
    tasks = sorted({task for task, _ in groups})
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
    for number, example in enumerate(examples()):
        if number in chosen:
            found = trials[fold_of[example.task]].predict(moment(example), 8)
            model.calibration.observe(ranks_of(found, example.right), [p for _, p in found])


def ranks_of(predicted: Sequence[tuple[ToolCall, float]], right: Iterable[ToolCall | None]) -> set[int]:
    """Return the ranks of the right calls among the predicted calls."""
    keys = {call.key for call in right if call is not None}
    return {rank for rank, (call, _) in enumerate(predicted) if call.key in keys}
