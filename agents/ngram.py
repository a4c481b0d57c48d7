"""``NGramGuesser``: guesses the calls that followed the same sequence of calls before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from spec_envs import Call, Guess
from spec_envs.agents.recent import Recent
from spec_envs.checks import integer
from spec_envs.conversation import AssistantMessage, Conversation, ToolCall, canonical
from spec_envs.errors import InvalidConfiguration
from spec_envs.pickling import Lock

_VERSION = 1
#: The symbol of a message to the user.
_MESSAGE = ""


class NGramGuesser:
    """Guesses an agent's next tool call from its last calls, for agents that make the same calls over and over.

    Calls that followed the same last ``order`` calls and messages have the greatest weight; those that followed a
    shorter context are mixed in. The weight of the shorter context grows with the number of different continuations
    that were seen after the longer one (Witten-Bell smoothing). Arguments are guessed unchanged; ``PatternGuesser``
    adapts arguments. A guess takes microseconds. Thread-safe.

    Args:
        order: The number of calls and messages in the longest context (>= 0).
        capacity: The number of contexts remembered (>= 1). The least recently used context is forgotten first.

    Raises:
        InvalidConfiguration: ``order`` or ``capacity`` is too small.
    """

    def __init__(self, *, order: int = 3, capacity: int = 100_000) -> None:
        self._order, self._capacity = integer("order", order, least=0), capacity
        self._lock = Lock()
        self._counts: Recent[Counter[str]] = Recent(capacity)

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return at most ``k`` guesses as ``{"name": …, "arguments": …}``; ``call.query`` is a ``Conversation``."""
        shares = dict[str, float]()
        with self._lock:
            for context in _contexts(call.query, self._order):
                seen = self._counts.get(context)
                if seen:
                    total = seen.total()
                    left = len(seen) / (total + len(seen))
                    shares = {key: left * share for key, share in shares.items()}
                    for key, count in seen.items():
                        shares[key] = shares.get(key, 0.0) + (1 - left) * count / total
        best = sorted(((share, key) for key, share in shares.items() if key != _MESSAGE), reverse=True)
        return [Guess(json.loads(key), min(1.0, share)) for share, key in best[:k]]

    def observe(self, call: Call, response: Any) -> None:
        """Learn the agent's response: a call is a mapping with ``name`` and ``arguments``, anything else a message."""
        symbol = _MESSAGE
        if isinstance(response, Mapping):
            symbol = _symbol(str(response.get("name")), response.get("arguments") or {})
        with self._lock:
            for context in _contexts(call.query, self._order):
                self._counts.get_or_make(context, Counter)[symbol] += 1

    def to_json(self) -> dict[str, Any]:
        """Return everything learned as JSON data: for each context, the calls that followed and how often."""
        with self._lock:
            counts = [[list(context), dict(seen)] for context, seen in self._counts.items()]  # type: ignore[call-overload]
        return {"version": _VERSION, "order": self._order, "capacity": self._capacity, "counts": counts}

    def save(self, path: Path | str) -> None:
        """Write everything learned to a file."""
        Path(path).write_text(json.dumps(self.to_json()), encoding="utf-8")

    @classmethod
    def from_json(cls, data: Any) -> NGramGuesser:
        """Return a guesser that has learned what ``data`` holds.

        Args:
            data: The result of ``to_json``.

        Raises:
            InvalidConfiguration: ``data`` was not made by ``to_json``, or by another version.
        """
        try:
            if data["version"] != _VERSION:
                raise ValueError(f"version {data['version']!r}")
            guesser = cls(order=data["order"], capacity=data["capacity"])
            for context, seen in data["counts"]:
                guesser._counts.put(tuple(context), Counter(seen))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidConfiguration(f"data must hold an NGramGuesser of version {_VERSION}: {error!r}") from error
        return guesser

    @classmethod
    def load(cls, path: Path | str) -> NGramGuesser:
        """Read a file that ``save`` wrote.

        Raises:
            InvalidConfiguration: The file was not written by ``save``, or by another version.
            OSError: The file cannot be read.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except ValueError as error:
            raise InvalidConfiguration(f"{path} holds no NGramGuesser of version {_VERSION}: {error}") from error


def _contexts(conversation: Conversation, order: int) -> list[Hashable]:
    """Return the agent's last calls and messages as contexts of the lengths 0 to ``order``."""
    made = [
        _symbol(event.name, event.arguments) if isinstance(event, ToolCall) else _MESSAGE
        for event in conversation.events
        if isinstance(event, ToolCall | AssistantMessage)
    ]
    return [tuple(made[len(made) - length :]) for length in range(min(order, len(made)) + 1)]


def _symbol(name: str, arguments: Any) -> str:
    return canonical({"name": name, "arguments": arguments})
