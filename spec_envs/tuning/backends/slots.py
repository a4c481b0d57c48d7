"""Slots: each is used by one measurement at a time, so that measurements do not disturb each other."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.protocol import closed

SlotT = TypeVar("SlotT")


class Slots(Generic[SlotT]):
    """Lends each slot to one call at a time; a call that finds none free waits.

    A cancelled call stops waiting. ``SpeculativeWrapper`` reads the backend's ``max_inflight``, so that branches do not
    take the slot that the authoritative call needs.
    """

    def __init__(self, slots: Sequence[SlotT]) -> None:
        self._free = list(slots)
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
            if self._closed:
                raise closed()
            slot = self._free.pop(0)
        try:
            yield slot
        finally:
            with self._changed:
                self._free.insert(0, slot)
                self._changed.notify_all()

    def close(self) -> None:
        """Lend no slot from now on; calls that wait raise ``EnvClosed``. Idempotent."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
