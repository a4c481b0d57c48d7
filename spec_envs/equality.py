"""Keys of objects that are not compared by their content: by the rule of their class, or by what they are."""

from typing import Any


class OwnRule:
    """An object that is compared by the ``__eq__`` and ``__hash__`` of its class, whatever these do.

    Where ``__eq__`` raises, or returns what is neither true nor false (an array), the objects count as different.
    """

    __slots__ = ("_hash", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._hash = hash(value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OwnRule) or type(other.value) is not type(self.value):
            return False
        try:
            return self.value is other.value or bool(self.value == other.value)
        except (Exception, SystemExit, GeneratorExit):
            return False

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:  # hashes differ from process to process
        return OwnRule, (self.value,)

    def __repr__(self) -> str:
        return repr(self.value)


class Itself:
    """The key of an object that equals itself alone."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
