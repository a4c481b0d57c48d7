"""``NGramGuesser``: the calls that followed the same calls before."""

from __future__ import annotations

import collections
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spec_envs.calls import Call
from spec_envs.conversation import AssistantMessage, Conversation, ToolCall, canonical
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess

_VERSION = 1
#: Stands for a message to the user.
_MESSAGE = ""


class NGramGuesser:
    """Guesses an agent's next tool call by its last ones, for agents that make the same calls over and over.

    What followed the last ``order`` calls and messages counts most, what followed fewer of them is mixed in: each
    context gives its weight to the shorter one in the proportion of different continuations that it has seen
    (Witten and Bell's smoothing). Arguments are guessed as they were; ``PatternGuesser`` adapts them. Takes
    microseconds. Thread-safe.

    Args:
        order: How many calls back it looks (>= 0).
        capacity: Contexts that are remembered; the one not met for longest is forgotten.
    """

    def __init__(self, *, order: int = 3, capacity: int = 100_000) -> None:
        if order < 0 or capacity < 1:
            raise InvalidConfiguration(f"order must be at least 0 and capacity at least 1, not {order!r}, {capacity!r}")
        self._order, self._capacity = order, capacity
        self._lock = threading.Lock()
        self._counts: collections.OrderedDict[tuple[str, ...], collections.Counter[str]] = collections.OrderedDict()

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses, as ``{"name": …, "arguments": …}``; ``call.query`` is a ``Conversation``."""
        context, shares = _context(call.query, self._order), dict[str, float]()
        with self._lock:
            for length in range(len(context) + 1):
                seen = self._counts.get(context[len(context) - length :])
                if seen:
                    total = sum(seen.values())
                    left = len(seen) / (total + len(seen))
                    shares = {key: left * share for key, share in shares.items()}
                    for key, count in seen.items():
                        shares[key] = shares.get(key, 0.0) + (1 - left) * count / total
        best = sorted(((share, key) for key, share in shares.items() if key != _MESSAGE), reverse=True)
        return [Guess(json.loads(key), min(1.0, share)) for share, key in best[:k]]

    def observe(self, call: Call, response: Any) -> None:
        """Learn what the agent did: a mapping with ``name`` and ``arguments``, or anything else for a message."""
        context, symbol = _context(call.query, self._order), _MESSAGE
        if isinstance(response, Mapping):
            symbol = _symbol(str(response.get("name")), response.get("arguments") or {})
        with self._lock:
            for length in range(len(context) + 1):
                ngram = context[len(context) - length :]
                self._counts.setdefault(ngram, collections.Counter())[symbol] += 1
                self._counts.move_to_end(ngram)
            while len(self._counts) > self._capacity:
                self._counts.popitem(last=False)

    def save(self, path: Path | str) -> None:
        """Write all that was learned to a file."""
        with self._lock:
            counts = [[list(context), dict(seen)] for context, seen in self._counts.items()]
        data = {"version": _VERSION, "order": self._order, "capacity": self._capacity, "counts": counts}
        Path(path).write_text(json.dumps(data), encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> NGramGuesser:
        """Read what ``save`` wrote.

        Raises:
            InvalidConfiguration: It is something else.
            OSError: The file cannot be read.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["version"] != _VERSION:
                raise ValueError(f"version {data['version']!r}")
            guesser = cls(order=data["order"], capacity=data["capacity"])
            for context, seen in data["counts"]:
                guesser._counts[tuple(context)] = collections.Counter(seen)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidConfiguration(f"{path} holds no NGramGuesser of version {_VERSION}: {error!r}") from error
        return guesser


def _context(conversation: Conversation, order: int) -> tuple[str, ...]:
    """The last calls and messages of the agent."""
    made = [
        _symbol(event.name, event.arguments) if isinstance(event, ToolCall) else _MESSAGE
        for event in conversation.events
        if isinstance(event, ToolCall | AssistantMessage)
    ]
    return tuple(made[-order:]) if order else ()


def _symbol(name: str, arguments: Any) -> str:
    return canonical({"name": name, "arguments": arguments})
