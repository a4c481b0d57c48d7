"""Slots: each is used by one call at a time, so that calls neither disturb each other nor share a program."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from spec_envs.closing import closed
from spec_envs.handling import CancelToken

SlotT = TypeVar("SlotT")


class Slots(Generic[SlotT]):
    """Lends each slot to one call at a time; a call that finds none free waits, and stops waiting when it is cancelled.

    ``SpeculativeWrapper`` reads the ``max_inflight`` of a handler, so that branches do not take the slot that the
    authoritative call needs.

    Args:
        slots: The slots. Those that were used last are lent first.
        owner: What the slots belong to, for errors, such as "the backend".
    """

    def __init__(self, slots: Iterable[SlotT], *, owner: str) -> None:
        self._free = list(slots)
        self._owner = owner
        self._changed = threading.Condition()
        self._closed = False

    @contextlib.contextmanager
    def lend(self, cancel: CancelToken) -> Iterator[SlotT]:
        """A slot that no other call has during the ``with`` block.

        Raises:
            CallCancelled: The call was cancelled while it waited.
            EnvClosed: ``close()`` was called.
        """
        cancel.on_cancel(self._wake)
        with self._changed:
            self._changed.wait_for(lambda: self._free or cancel.cancelled or self._closed)
            cancel.raise_if_cancelled()
            self.check_open()
            slot = self._free.pop(0)
        try:
            yield slot
        finally:
            with self._changed:
                self._free.insert(0, slot)
                self._changed.notify_all()

    def check_open(self) -> None:
        """Raise ``EnvClosed`` once ``close()`` was called."""
        if self._closed:
            raise closed(self._owner)

    def close(self) -> None:
        """Lend no slot from now on; calls that wait raise ``EnvClosed``. Idempotent."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
