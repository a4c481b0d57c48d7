"""How objects are pickled that hold what no other process can have: locks, connections, threads, calls in flight."""

from __future__ import annotations

import threading
from typing import Any, NoReturn, Self


class Lock:
    """A reentrant lock that is pickled as a new lock, so that whatever it guards can be pickled."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


class MadeAnew:
    """Pickled as the arguments of its constructor: the other process makes its own, with connections of its own."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Keep the arguments."""
        self = super().__new__(cls)
        self._made_with = (args, options)
        return self

    _made_with: tuple[tuple[Any, ...], dict[str, Any]]

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (type(self), *self._made_with)


def _make(kind: type, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return kind(*args, **options)


class NotPicklable:
    """Refuses to be pickled and copied, with the way out: it belongs to this process."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: it belongs to the threads, connections or calls of "
            f"this process; make it inside the worker that uses it, from the same arguments"
        )
