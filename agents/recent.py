"""``Recent``: a bounded dictionary that forgets the least recently used entry."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from spec_envs.checks import integer
from spec_envs.pickling import Lock

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A thread-safe dictionary of bounded size. When it is full, the least recently used entry is forgotten.

    Raises:
        InvalidConfiguration: ``capacity`` is less than 1.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = integer("capacity", capacity, least=1)
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Return the value of ``key``, or ``None`` if the key is unknown or was forgotten."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Set the value of ``key``."""
        with self._lock:
            self._put(key, value)

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of ``key``. If there is none, store ``make()`` as its value first."""
        with self._lock:
            self._put(key, self._entries[key] if key in self._entries else make())
            return self._entries[key]

    def items(self) -> list[tuple[Hashable, Value]]:
        """Return all entries, the least recently used one first."""
        with self._lock:
            return list(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)

    def _put(self, key: Hashable, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
