"""``PatternGuesser``: an agent's next tool call with all its arguments, in milliseconds and without an LLM."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spec_envs.agents.pattern.index import Index
from spec_envs.agents.pattern.memory import Memory
from spec_envs.agents.pattern.moment import Extra, State
from spec_envs.agents.pattern.training import ranks_of, remember, remember_all, train, turn_moments
from spec_envs.agents.pattern.window_model import Lesson, WindowModel
from spec_envs.agents.recent import Recent
from spec_envs.calls import Call
from spec_envs.conversation import (
    AssistantMessage,
    ChatReader,
    Conversation,
    Tool,
    ToolCall,
    Trajectory,
    UserMessage,
    tools_from_schemas,
)
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess

if TYPE_CHECKING:
    from spec_envs.prefetch import Situation


_VERSION = 1
#: Predictions that are made whatever ``k`` is, so that what is learned of their ranks does not depend on it.
_WIDTH = 8


class PatternGuesser:
    """Guesses the next tool call of an agent from what it and others did before; learns offline and online.

    Which call, and which value for each argument, are two log-linear models joined by a beam; values are explained by
    where they come from (a path into an earlier result, an entity in the user's text, an earlier argument, a constant
    that two tasks have used), so that what is learned holds for other users and ids. Messages to the user are not
    guessed, but they take their share of the probability. Thread-safe.

    ``guess`` and ``observe`` serve calls of a policy whose query is an observation that holds the dialogue; ``predict``
    and ``learn`` take conversations.

    Args:
        rounds: How often ``learn`` goes over what it is given.
        seed: Of the order in which it does.
        dialogue: What turns a query into a ``Conversation``. Default: a ``Conversation``, a list of chat messages, or a
            mapping (or an object) with ``messages`` or ``dialogue``, and ``tools`` if there are any; these may also be
            JSON text, as in the observations of ``SpecRetail-v0``.
        action: What turns a predicted call into a response. Default: ``{"name": …, "arguments": …}``.
        outcome: The inverse: the ``ToolCall`` of a response, ``None`` if it is a message. Default: a mapping with a
            ``name``, or this as JSON text, is a call.
        reads: The tools that change nothing, for ``prefetch``. Not saved.
        extra: A domain's own candidates: ``extra(conversation, tool, argument)`` gives values. Not saved.
        capacity: Conversations whose index is kept, and calls that are remembered until they are observed.
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
    ) -> None:
        if rounds < 1:
            raise InvalidConfiguration(f"rounds must be at least 1, not {rounds!r}")
        self._rounds, self._seed = rounds, seed
        self._reader = ChatReader()
        self._dialogue = dialogue or self._read
        self._action = action or _as_action
        self._outcome = outcome or _as_call
        self._reads = reads
        self._extra = extra
        self._lock = threading.RLock()
        self._memory = Memory()
        self._windows = {seen: WindowModel(seen) for seen in (True, False)}
        self._indices: list[Index] = []
        self._capacity = capacity
        self._offers: Recent[list[tuple[ToolCall, float]]] = Recent(capacity)

    def predict(self, conversation: Conversation, k: int, *, seen: bool = True) -> list[tuple[ToolCall, float]]:
        """At most ``k`` likely calls, most likely first, with their probabilities.

        Args:
            conversation: All that happened so far.
            k: How many.
            seen: The agent is about to act: predict its next call, with the probability that it does exactly that. If
                false, the user is saying something that is not known yet: predict what the agent calls before it
                answers, in whatever order, each with the probability that it does. Such calls may have been made ahead,
                and then stand at the end of ``conversation`` with their results: what is predicted goes on from them.
        """
        with self._lock:
            claims = self._predict(conversation, seen)
            probabilities = self._windows[seen].curve.corrected([p for _, p in claims], exclusive=seen)
        return [(call, p) for (call, _), p in zip(claims, probabilities, strict=True)][:k]

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses of what the agent does, most likely first."""
        with self._lock:
            conversation = self._dialogue(call.query)
            claims = self._predict(conversation, True)
            self._offers.put(call.key, claims)
            probabilities = self._windows[True].curve.corrected([p for _, p in claims])
        guesses = zip(claims, probabilities, strict=True)
        return [Guess(self._action(predicted), p) for (predicted, _), p in guesses][:k]

    def prefetch(self, situation: Situation, k: int) -> list[Guess]:
        """At most ``k`` calls of reading tools, most likely first: what ``predict`` says while the user types.

        Makes this a ``Prefetcher`` for calls of the user (and for those of the policy, which have seen the message).
        """
        with self._lock:
            before, now = self._dialogue(situation.before), self._dialogue(situation.now)
            act = situation.action
            said = () if act is None else (self._outcome(act) or AssistantMessage(str(act)),)
            events = (*before.events, *said, *now.events[len(before.events) :])
            predicted = self.predict(Conversation(events, now.tools), _WIDTH, seen=act is None)
        return [Guess(self._action(call), p) for call, p in predicted if call.name in self._reads][:k]

    def observe(self, call: Call, response: Any) -> None:
        """Learn what the agent really did."""
        with self._lock:
            conversation = self._dialogue(call.query)
            action = self._outcome(response)
            claims = self._offers.get(call.key)
            if claims is not None:
                self._windows[True].curve.observe(ranks_of(claims, [action]), [p for _, p in claims])
            self._learn_online(conversation, action)

    def learn(self, trajectories: Trajectory | Iterable[Trajectory], *, seen: bool | None = None) -> None:
        """Learn from finished conversations; those of one task should say so, and count as one.

        Args:
            trajectories: The conversations. Better all at once: what is learned last counts for more.
            seen: Only for predictions with this ``seen``, in less time. Default: for both.
        """
        given = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
        with self._lock:
            remember_all(self._memory, given)
            for model in self._windows.values():
                if seen is None or model.seen is seen:
                    train(model, self._memory, given, self._rounds, self._seed)

    def _predict(self, conversation: Conversation, seen: bool) -> list[tuple[ToolCall, float]]:
        self._memory.meet(conversation.tools)
        state = State(self._index(conversation), self._memory, _online_task(conversation), self._extra)
        return self._windows[seen].predict(state, _WIDTH)

    def _learn_online(self, conversation: Conversation, action: ToolCall | None) -> None:
        self._memory.meet(conversation.tools)
        events = conversation.events
        task = _online_task(conversation)
        if action is not None:
            events = (*events, action)
        index = Index()
        for event in events:  # what is known already counts once, as it is counted by task
            index.extend([event])
            remember(self._memory, index, task)
        if action is not None and action.name not in self._memory.tools:
            return
        state = State(self._index(conversation), self._memory, task, self._extra)
        _study(self._windows[True].lessons(state, [action]))
        if action is None:
            self._learn_turn(conversation, task)

    def _learn_turn(self, conversation: Conversation, task: str) -> None:
        """The agent answers the user: all that it did since the user's last message is known."""
        places = (place for place, event in enumerate(conversation.events) if isinstance(event, UserMessage))
        last = max(places, default=None)
        if last is not None:
            model = self._windows[False]
            for moment in turn_moments(model, self._memory, Trajectory(conversation, task), last):
                _study(model.lessons(State(moment.index, self._memory, task, self._extra), moment.right))

    def _index(self, conversation: Conversation) -> Index:
        """The index of ``conversation``: kept from before, or that of its longest known beginning, extended."""
        events = conversation.events
        best = None
        for index in reversed(self._indices):
            length = len(index.events)
            if length <= len(events) and (best is None or length > len(best.events)):
                if tuple(index.events) == events[:length]:
                    best = index
        if best is not None and len(best.events) == len(events):
            return best
        index = Index() if best is None else best.copy()
        index.extend(events[len(index.events) :])
        self._indices = [*self._indices[-self._capacity + 1 :], index]
        return index

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
        """All that was learned, as JSON data; functions that were passed to the constructor are not part of it."""
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
        """A guesser that predicts and learns as the one that ``to_json`` was called on.

        Args:
            data: What ``to_json`` gave.
            options: More arguments of the constructor.

        Raises:
            InvalidConfiguration: ``data`` is of another version, or something else.
        """
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != _VERSION:
            raise InvalidConfiguration(f"not a PatternGuesser of version {_VERSION}, but {version!r}")
        try:
            guesser = cls(rounds=data["rounds"], seed=data["seed"], **options)
            guesser._memory = Memory.from_json(data["memory"])
            guesser._windows[True].load(data["seen"])
            guesser._windows[False].load(data["unseen"])
        except KeyError as error:
            raise InvalidConfiguration(f"not a PatternGuesser: it has no {error}") from error
        return guesser

    def save(self, path: Path | str) -> None:
        """Write ``to_json`` to a file."""
        Path(path).write_text(json.dumps(self.to_json()), encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str, **options: Any) -> PatternGuesser:
        """Read what ``save`` wrote.

        Raises:
            InvalidConfiguration: It is something else.
            OSError: The file cannot be read.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InvalidConfiguration(f"{path} holds no PatternGuesser: {error}") from error
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
    """A name for a conversation that goes on: what was learned from its beginning does not count in the rest of it."""
    return f"seen {hashlib.sha256(repr(conversation.events[:3]).encode()).hexdigest()[:12]}"


def _as_action(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": dict(call.arguments)}


def _as_call(response: Any) -> ToolCall | None:
    if isinstance(response, ToolCall):
        return response
    if isinstance(response, str) and response.lstrip().startswith("{"):
        try:
            response = json.loads(response)
        except json.JSONDecodeError:
            return None  # a message that looks strange
    if not isinstance(response, Mapping) or not isinstance(response.get("name"), str) or response["name"] == "respond":
        return None
    arguments = response.get("arguments", response.get("kwargs"))
    return ToolCall(response["name"], dict(arguments) if isinstance(arguments, Mapping) else {})
