"""A backend for any live system: knobs that apply themselves, and a workload that runs for a while."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Protocol

from spec_envs.calls import Effect
from spec_envs.errors import EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.system.load import watch

if TYPE_CHECKING:
    from spec_envs.tuning.knobs import Knob, Setting, Value

__all__ = ["LiveBackend", "LiveWorkload", "set_knob"]


class LiveWorkload(Protocol):
    """A workload that runs itself, under knobs that have ``apply`` and ``read``."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """What can be set, and how."""

    def run(self, query: MeasureQuery, cancel: CancelToken) -> Metrics:
        """The figures of ``query.window_s`` seconds, the first ``query.settle_s`` of which do not count."""


class LiveBackend:
    """Applies a setting knob by knob, reads each back, and lets the workload run. One measurement at a time.

    Before the first change of a knob its value is read, and it is put back on ``close()`` and at the end of the
    process. A process that is killed puts nothing back: there is no journal, since nobody else knows the knob. Settings
    in files have one (``spec_envs.tuning.backends.system_settings.SystemWorkload``).

    Args:
        workload: What runs, and the knobs.
        effect: ``WRITE`` (default), so that no branch ever sets anything; or ``SAMPLE`` when the system that the knobs
            belong to is this backend's own, and nobody else can see them.

    Raises:
        InvalidConfiguration: A knob has no ``apply`` or no ``read``.
    """

    max_inflight = 1
    carries_over = False

    def __init__(self, workload: LiveWorkload, *, effect: Effect = Effect.WRITE) -> None:
        self.workload = workload
        self.effect = effect
        for knob in workload.knobs:
            if knob.apply is None or knob.read is None:
                raise InvalidConfiguration(f"{knob.name} needs apply and read to be set on a live system: {knob!r}")
        self._mutex = threading.RLock()
        self._before: dict[str, Value] = {}
        self._closed = False

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Apply, settle, measure.

        Raises:
            HandlerFailed: A knob has another value after it was set.
            EnvClosed: The backend was closed.
        """
        with self._mutex:
            if self._closed:
                raise EnvClosed("the backend was closed; make a new one")
            cancel.raise_if_cancelled()
            if query.workload != self.workload:
                raise InvalidConfiguration(f"this backend runs {self.workload!r}, not {query.workload!r}")
            self._apply(query.knobs)
            seen = watch()
            return Measurement(self.workload.run(query, cancel), seen())

    def best(self, workload: Workload) -> float | None:
        """Nothing is known of it."""
        return None

    def close(self) -> None:
        """Put back what was set, the other knobs also where one cannot be. Idempotent.

        Raises:
            HandlerFailed: A knob has another value after it was put back.
        """
        with self._mutex, contextlib.ExitStack() as every:
            self._closed = True
            atexit.unregister(self._at_exit)
            for knob in self.workload.knobs:
                if knob.name in self._before:
                    every.callback(set_knob, knob, self._before.pop(knob.name))

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:  # a forked child ends without undoing what its parent has set
            self.close()

    def _apply(self, setting: Setting) -> None:
        values = dict(setting)
        if not self._before:
            self._pid = os.getpid()
            atexit.register(self._at_exit)
        for knob in self.workload.knobs:
            assert knob.read is not None
            if knob.name not in self._before:
                self._before[knob.name] = knob.read()
            set_knob(knob, values[knob.name])


def set_knob(knob: Knob, value: Value) -> None:
    """Apply ``value`` and check that it is what the system has then.

    Raises:
        HandlerFailed: It has another.
    """
    assert knob.apply is not None and knob.read is not None
    knob.apply(value)
    if (found := knob.read()) != value:
        raise HandlerFailed(f"{knob.name} was set to {value!r}, but reads {found!r}")
