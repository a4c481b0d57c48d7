"""What an episode waits for, as data: a ``Call`` names a handler and a query.

Its response depends on the query and the outside world alone, never on hidden state of the environment or of the
handler. That is what makes it safe to run a call on another thread, on a branch, or ahead of time.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Hashable, Set
from typing import Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.values import key_or_itself, own_copy, same

#: Sets a field of a frozen object.
_set = object.__setattr__


class Effect(enum.Enum):
    """May a call be made speculatively?

    ``READ``: yes, and equal calls may share one execution. ``SAMPLE``: yes, but each committed step has a draw of its
    own (a language model). ``WRITE``: no, only when the episode has really come to it (an order, asking a person).
    The response of any call may be guessed.
    """

    READ = "read"
    SAMPLE = "sample"
    WRITE = "write"


# To read a member from its class takes four times as long as to read a variable.
READ, SAMPLE, WRITE = Effect.READ, Effect.SAMPLE, Effect.WRITE


def check_effect(what: str, effect: object) -> None:
    """Raise ``InvalidConfiguration`` unless ``effect``, which is ``what`` for the message, is an ``Effect``."""
    if not isinstance(effect, Effect):
        raise InvalidConfiguration(f"{what} must be Effect.READ, Effect.SAMPLE or Effect.WRITE, not {effect!r:.80}")


@functools.lru_cache(maxsize=1024)
def _only(name: str) -> frozenset[str]:
    return frozenset((name,))


def parts_named(touches: str | Set[str] | None) -> frozenset[str] | None:
    """The names in ``touches``, which are parts of the outside world; ``None`` (unknown) stays ``None``.

    Raises:
        InvalidConfiguration: ``touches`` is neither a text, nor a set of texts, nor ``None``.
    """
    if touches is None:
        return None
    if type(touches) is str:
        return _only(touches)
    if isinstance(touches, str):
        return frozenset((touches,))
    if isinstance(touches, Set) and all(isinstance(name, str) for name in touches):
        return frozenset(touches)
    raise InvalidConfiguration(
        f"touches must name parts of the outside world, as a text or a set of texts, or be None, not {touches!r:.80}"
    )


@dataclasses.dataclass(frozen=True, slots=True, eq=False, init=False)
class Call:
    """A request to a named handler. Compared, and hashed, by handler and key of the query.

    Args:
        handler: Name of the handler in ``env.handlers``; ``"policy"`` is the agent's own decision.
        query: All that the response may depend on, besides the outside world. Picklable, never changed afterwards.
        effect: Whether the call may be made ahead of time.
        touches: The names of the parts of the outside world that the call reads or changes: a set of texts, or one
            text; kept as a ``frozenset``. A ``WRITE`` makes the results of earlier ``READ`` calls on the same part
            stale, and ``READ`` calls behind it wait for it. ``None``: unknown, so everything; empty: nothing.

    Raises:
        InvalidConfiguration: The handler has no name, or effect or ``touches`` is something else.
    """

    handler: str
    query: Any
    effect: Effect = Effect.SAMPLE
    touches: str | Set[str] | None = None
    _key: Hashable = dataclasses.field(default=None, init=False, repr=False)

    def __init__(
        self,
        handler: str,
        query: Any,
        effect: Effect = Effect.SAMPLE,
        touches: str | Set[str] | None = None,
    ) -> None:  # written out, because each step makes several calls, and that of a dataclass takes twice as long
        if not isinstance(handler, str) or not handler:
            raise InvalidConfiguration(f"the handler of a call is named by a text, not by {handler!r:.80}")
        if type(effect) is not Effect:
            check_effect(f"the effect of a call of {handler!r}", effect)
        _set(self, "handler", handler)
        _set(self, "query", query)
        _set(self, "effect", effect)
        _set(self, "touches", None if touches is None else parts_named(touches))
        _set(self, "_key", None)

    @property
    def key(self) -> Hashable:
        """The handler's name and the key of the query; computed once."""
        if self._key is None:
            _set(self, "_key", (self.handler, key_or_itself(self.query)))
        return self._key

    def owned(self) -> Call:
        """This call with a copy of its query, for a receiver who may change the query; itself, if that cannot change.

        Raises:
            NotCopyable: The query can change and cannot be copied.
        """
        query = own_copy(self.query)
        if query is self.query:
            return self
        twin = object.__new__(Call)  # without the checks that this call has passed
        _set(twin, "handler", self.handler)
        _set(twin, "query", query)
        _set(twin, "effect", self.effect)
        _set(twin, "touches", self.touches)
        _set(twin, "_key", None)
        return twin

    def __deepcopy__(self, memo: Any) -> Call:
        return self.owned()

    def conflicts(self, other: Call) -> bool:
        """Whether the two calls may touch the same part of the outside world."""
        if self.touches is None or other.touches is None:  # everything, which has a part in common with all but nothing
            return self.touches != frozenset() and other.touches != frozenset()
        return not frozenset(self.touches).isdisjoint(other.touches)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Call):
            return NotImplemented
        if (self._key is None or other._key is None) and hasattr(self.query, "__dataclass_fields__"):
            return self.handler == other.handler and same(self.query, other.query)  # less work than to make keys
        return self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)
