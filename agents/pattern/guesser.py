"""``PatternGuesser``: an agent's next tool call with all arguments, predicted in milliseconds and without an LLM."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from spec_envs import Call, Guess, Situation
from spec_envs.agents.pattern.index import Index
from spec_envs.agents.pattern.memory import Memory
from spec_envs.agents.pattern.moment import MAX_VALUES, Extra, Moment
from spec_envs.agents.pattern.training import names_before, ranks_of, remember, remember_all, train, turn_examples
from spec_envs.agents.pattern.window_model import Lesson, WindowModel
from spec_envs.agents.recent import Recent
from spec_envs.checks import integer
from spec_envs.conversation import (
    AssistantMessage,
    ChatReader,
    Conversation,
    Event,
    Tool,
    ToolCall,
    Trajectory,
    UserMessage,
    tools_from_schemas,
)
from spec_envs.errors import InvalidConfiguration
from spec_envs.json_files import parsed
from spec_envs.pickling import Lock

_VERSION = 1
#: A weight takes 16 bytes in each of four rankers: for tools and for arguments, in two windows.
_BYTES_OF_A_WEIGHT = 64
#: A generous estimate for a name that users give to values, with all its values and tasks.
_BYTES_OF_A_NAME = 5000
#: The number of predictions that are always made, so that the calibration by rank does not depend on ``k``.
_WIDTH = 8


@dataclasses.dataclass(slots=True)
class _Kept:
    """A conversation's index; and, until the response is observed, the guesses at its end and their moment."""

    index: Index
    claims: list[tuple[ToolCall, float]] | None = None
    moment: Moment | None = None


class PatternGuesser:
    """Guesses an agent's next tool call from the conversation and from past conversations. Learns offline and online.

    One log-linear model chooses the tool, another one the value of each argument; a beam search combines them. Values
    are described by their sources: a path into an earlier result, an entity in the user's text, an earlier argument, or
    a constant that two tasks have used. So the patterns hold for other users and ids. Messages to the user are not
    guessed, but have their share of the probability. Thread-safe.

    ``guess`` and ``observe`` serve calls to a policy whose observation holds the dialogue. ``predict`` and ``learn``
    take conversations.

    Args:
        rounds: The least number of passes of ``learn`` over its examples (>= 1).
        seed: The seed of the order of the examples.
        dialogue: ``dialogue(query)`` returns the ``Conversation`` in a query. Default: a query is a ``Conversation``, a
            list of chat messages, or a mapping (or an object) with ``messages`` or ``dialogue``, and perhaps ``tools``.
            These may also be JSON text, as in the observations of ``SpecRetail-v0``.
        action: ``action(call)`` returns a predicted call as a response. Default: ``{"name": …, "arguments": …}``.
        outcome: ``outcome(response)`` returns the ``ToolCall`` in a response, or ``None`` for a message. Default: a
            mapping with a ``name``, or such a mapping as JSON text, is a call.
        reads: The names of the tools that change nothing, for ``prefetch``. Not saved.
        extra: ``extra(conversation, tool, argument)`` returns further candidates for an argument. Not saved.
        capacity: The number of conversations that are kept, with their guesses until the response is observed.
        max_values: The number of values of a conversation that are considered for one argument: those seen last.
        memory_mb: About how much memory the learned data may take, in megabytes. When it is full, new words, values and
            tools stay unknown, and the least recently used names are forgotten.

    Raises:
        InvalidConfiguration: ``rounds``, ``capacity``, ``max_values`` or ``memory_mb`` is less than 1.
    """

    def __init__(
        self,
        *,
        rounds: int = 3,
        seed: int = 0,
        dialogue: Callable[[Any], Conversation] | None = None,
        action: Callable[[ToolCall], Any] | None = None,
        outcome: Callable[[Any], ToolCall | None] | None = None,
        reads: Container[str] = (),
        extra: Extra | None = None,
        capacity: int = 64,
        max_values: int = MAX_VALUES,
        memory_mb: int = 256,
    ) -> None:
        self._rounds, self._seed = integer("rounds", rounds, least=1), integer("seed", seed, least=0)
        self._reader = ChatReader()
        self._dialogue = dialogue or self._read
        self._action = action or _as_action
        self._outcome = outcome or _as_call
        self._reads = reads
        self._extra = extra
        self._lock = Lock()
        self._max_values = integer("max_values", max_values, least=1)
        memory_bytes = integer("memory_mb", memory_mb, least=1) * 1_000_000
        self._max_weights = memory_bytes // 2 // _BYTES_OF_A_WEIGHT
        self._memory = Memory(memory_bytes // 2 // _BYTES_OF_A_NAME)
        self._windows = {seen: WindowModel(seen, self._max_weights) for seen in (True, False)}
        self._capacity = integer("capacity", capacity, least=1)
        self._kept: list[_Kept] = []
        #: How much of the last conversations ``_memory`` has counted, by task.
        self._counted: Recent[tuple[Event, ...]] = Recent(capacity)

    def predict(self, conversation: Conversation, k: int, *, seen: bool = True) -> list[tuple[ToolCall, float]]:
        """Return at most ``k`` likely calls, most likely first, with their probabilities.

        Args:
            conversation: The conversation so far.
            k: The greatest number of calls.
            seen: If true, the agent is about to act, and the probability of a call is that of being exactly the agent's
                next action. If false, the user is writing a message that is not known yet, and the probability of a
                call is that of being made at any point before the agent answers the message; ``conversation`` may end
                with calls that were made ahead of time, and their results.
        """
        with self._lock:
            claims = self._predict(conversation, seen)
            probabilities = self._windows[seen].calibration.corrected([p for _, p in claims], exclusive=seen)
        return [(call, p) for (call, _), p in zip(claims, probabilities, strict=True)][:k]

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return at most ``k`` guesses of the agent's next call, most likely first."""
        with self._lock:
            conversation = self._dialogue(call.query)
            claims = self._predict(conversation, True)
            self._keep(conversation).claims = claims
            probabilities = self._windows[True].calibration.corrected([p for _, p in claims])
        guesses = zip(claims, probabilities, strict=True)
        return [Guess(self._action(predicted), p) for (predicted, _), p in guesses][:k]

    def prefetch(self, situation: Situation, k: int) -> list[Guess]:
        """Return at most ``k`` likely calls of the tools in ``reads``, most likely first.

        With this method a ``PatternGuesser`` is a ``Prefetcher`` for calls to the user and to the policy.
        """
        with self._lock:
            before, now = self._dialogue(situation.before), self._dialogue(situation.now)
            act = situation.action
            said = () if act is None else (self._outcome(act) or AssistantMessage(str(act)),)
            events = (*before.events, *said, *now.events[len(before.events) :])
            predicted = self.predict(Conversation(events, now.tools), _WIDTH, seen=act is None)
        return [Guess(self._action(call), p) for call, p in predicted if call.name in self._reads][:k]

    def observe(self, call: Call, response: Any) -> None:
        """Learn the agent's real response."""
        with self._lock:
            conversation = self._dialogue(call.query)
            action = self._outcome(response)
            claims = self._keep(conversation).claims
            if claims is not None:
                self._windows[True].calibration.observe(ranks_of(claims, [action]), [p for _, p in claims])
            self._learn_online(conversation, action)

    def learn(self, trajectories: Trajectory | Iterable[Trajectory], *, seen: bool | None = None) -> None:
        """Learn from finished conversations. Conversations of the same ``task`` count as one.

        Args:
            trajectories: The conversations. Pass all of them at once, since later examples have more weight.
            seen: Learn only for predictions with this ``seen``, which takes less time. Default: for both.
        """
        given = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
        with self._lock:
            remember_all(self._memory, given)
            for model in self._windows.values():
                if seen is None or model.seen is seen:
                    train(model, self._memory, given, self._rounds, self._seed, self._max_values)

    def _predict(self, conversation: Conversation, seen: bool) -> list[tuple[ToolCall, float]]:
        self._memory.meet(conversation.tools)
        kept = self._keep(conversation)
        moment = self._moment(kept.index, _online_task(conversation))
        kept.moment = moment if seen else None
        return self._windows[seen].predict(moment, _WIDTH)

    def _moment(self, index: Index, task: str) -> Moment:
        return Moment(index, self._memory, task, self._extra, self._max_values)

    def _learn_online(self, conversation: Conversation, action: ToolCall | None) -> None:
        self._memory.meet(conversation.tools)
        kept, task = self._keep(conversation), _online_task(conversation)
        self._count(conversation, kept.index, task, action)
        # Counts of the task itself are left out while the task is learned, so the moment of the guess is still valid.
        moment, kept.moment = kept.moment or self._moment(kept.index, task), None
        if action is not None and action.name not in self._memory.tools:
            return
        _study(self._windows[True].lessons(moment, [action]))
        if action is None:
            self._learn_turn(conversation, task)

    def _count(self, conversation: Conversation, index: Index, task: str, action: ToolCall | None) -> None:
        """Count the events since the last count. Counts are by task, so counting twice does no harm."""
        events = conversation.events
        counted = self._counted.get(task) or ()
        known = len(counted) if counted == events[: len(counted)] else 0
        for place in range(known, len(events)):
            remember(self._memory, index, task, place)
        if action is not None:
            self._memory.add(action, task, names_before(index, len(events)))
        self._counted.put(task, events)

    def _learn_turn(self, conversation: Conversation, task: str) -> None:
        """Learn all calls since the user's last message; they are complete, since the agent answers the user."""
        places = (place for place, event in enumerate(conversation.events) if isinstance(event, UserMessage))
        last = max(places, default=None)
        if last is not None:
            model = self._windows[False]
            index = self._keep(conversation.until(last)).index.copy()
            for example in turn_examples(model, self._memory, Trajectory(conversation, task), last, index):
                _study(model.lessons(self._moment(example.index, task), example.right))

    def _keep(self, conversation: Conversation) -> _Kept:
        """Return the kept data of ``conversation``; its index extends that of the longest known beginning."""
        events = conversation.events
        beginnings = (each for each in self._kept if len(each.index.events) <= len(events))
        for each in sorted(beginnings, key=lambda each: -len(each.index.events)):
            if each.index.events == list(events[: len(each.index.events)]):
                break
        else:
            each = _Kept(Index())
        if len(each.index.events) == len(events):
            if each in self._kept:
                return each
        else:
            rest = events[len(each.index.events) :]
            each = _Kept(each.index.copy())
            each.index.extend(rest)
        self._kept = [*self._kept[-self._capacity + 1 :], each]
        return each

    def _read(self, query: Any) -> Conversation:
        if isinstance(query, Conversation):
            return query
        tools: tuple[Tool, ...] = ()
        if not isinstance(query, list | tuple):
            tools = _tools(_part(query, "tools"))
            messages = _part(query, "messages")
            messages = _part(query, "dialogue") if messages is None else messages
            if isinstance(messages, str):
                messages = json.loads(messages)
            if isinstance(messages, Conversation):
                return messages
            if messages is None:
                raise InvalidConfiguration(
                    f"a query of type {type(query).__name__} holds no messages; pass dialogue= to say where they are"
                )
            query = messages
        return self._reader.read(query, tools)

    def to_json(self) -> dict[str, Any]:
        """Return everything learned as JSON data. Functions that were passed to the constructor are not included."""
        with self._lock:
            return {
                "version": _VERSION,
                "rounds": self._rounds,
                "seed": self._seed,
                "memory": self._memory.to_json(),
                "seen": self._windows[True].to_json(),
                "unseen": self._windows[False].to_json(),
            }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], **options: Any) -> PatternGuesser:
        """Return a guesser that predicts and learns like the one that ``data`` was made from.

        Args:
            data: The result of ``to_json``.
            options: Further arguments of the constructor.

        Raises:
            InvalidConfiguration: ``data`` has another version, or was not made by ``to_json``.
        """
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != _VERSION:
            raise InvalidConfiguration(f"data must hold a PatternGuesser of version {_VERSION}, not {version!r}")
        try:
            guesser = cls(rounds=data["rounds"], seed=data["seed"], **options)
            guesser._memory = Memory.from_json(data["memory"], guesser._memory.max_names)
            guesser._windows[True].load(data["seen"])
            guesser._windows[False].load(data["unseen"])
        except KeyError as error:
            raise InvalidConfiguration(f"data must hold a PatternGuesser, but {error} is missing") from error
        return guesser

    def save(self, path: Path | str) -> None:
        """Write everything learned to a file."""
        Path(path).write_text(json.dumps(self.to_json()), encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str, **options: Any) -> PatternGuesser:
        """Read a file that ``save`` wrote.

        Raises:
            InvalidConfiguration: The file was not written by ``save``, or by another version.
            OSError: The file cannot be read.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InvalidConfiguration(f"{path} is not a file of a PatternGuesser: {error}") from error
        return cls.from_json(data, **options)


def _study(lessons: Iterable[Lesson]) -> None:
    for ranker, rows, right in lessons:
        ranker.learn(rows, right)


def _part(query: Any, name: str) -> Any:
    return query.get(name) if isinstance(query, Mapping) else getattr(query, name, None)


def _tools(schemas: Any) -> tuple[Tool, ...]:
    return _parsed_tools(schemas) if isinstance(schemas, str) else tools_from_schemas(schemas or ())


@functools.lru_cache(maxsize=16)
def _parsed_tools(schemas: str) -> tuple[Tool, ...]:
    return tools_from_schemas(json.loads(schemas))


def _online_task(conversation: Conversation) -> str:
    """Return a task name for an unfinished conversation, so that its own beginning does not count in predictions."""
    return f"seen {hashlib.sha256(repr(conversation.events[:3]).encode()).hexdigest()[:12]}"


def _as_action(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": dict(call.arguments)}


def _as_call(response: Any) -> ToolCall | None:
    if isinstance(response, ToolCall):
        return response
    if isinstance(response, str) and response.lstrip().startswith("{"):
        response = parsed(response)  # ``None`` for a message that only looks like JSON
    if not isinstance(response, Mapping) or not isinstance(response.get("name"), str) or response["name"] == "respond":
        return None
    arguments = response.get("arguments", response.get("kwargs"))
    return ToolCall(response["name"], dict(arguments) if isinstance(arguments, Mapping) else {})
