"""Backends for a live system: knobs that apply themselves, and a workload that runs for a window."""

import atexit
import contextlib
import os
import threading
from typing import Generic, Protocol, TypeVar

from spec_envs.calls import Effect
from spec_envs.closing import closed
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.protocol import MachineBackend, check_read_back
from spec_envs.tuning.knobs import Knob, Value
from spec_envs.tuning.load import watch
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload


class LiveWorkload(Workload, Protocol):
    """A workload that runs itself. For ``LiveBackend`` its knobs must have ``apply`` and ``read``."""

    def run(self, query: MeasureQuery, cancel: CancelToken) -> Metrics:
        """Run for ``query.window_s`` seconds, of which the first ``query.settle_s`` do not count."""
        ...


WorkloadT = TypeVar("WorkloadT", bound=LiveWorkload)


class KnobBackend(MachineBackend, Generic[WorkloadT]):
    """Applies a setting knob by knob, reads each knob back, and runs the workload. One measurement at a time."""

    max_inflight = 1

    def __init__(self, workload: WorkloadT, knobs: tuple[Knob, ...], effect: Effect) -> None:
        self.workload = workload
        self.effect = effect
        self._knobs = knobs
        self._mutex = threading.RLock()
        self._closed = False

    def __call__(self, query: MeasureQuery, cancel: CancelToken | None = None) -> Measurement:
        """Apply the setting, settle, and measure.

        Raises:
            CallCancelled: The call was cancelled meanwhile.
            HandlerFailed: A knob cannot be set, or has another value after it was set.
            EnvClosed: The backend was closed.
            InvalidConfiguration: The query has another workload.
        """
        cancel = cancel or CancelToken()
        with self._mutex:
            if self._closed:
                raise closed("the backend")
            cancel.raise_if_cancelled()
            if query.workload != self.workload:
                raise InvalidConfiguration(f"this backend runs {self.workload!r}, not {query.workload!r}")
            values = dict(query.knobs)
            for knob in self._knobs:
                self._set(knob, values[knob.name])
            seen = watch()
            return Measurement(self.workload.run(query, cancel), seen())

    def _set(self, knob: Knob, value: Value) -> None:
        """Apply ``value`` and check that the system has it."""
        assert knob.apply is not None and knob.read is not None
        knob.apply(value)
        check_read_back({knob.name: value}, {knob.name: knob.read()})


class LiveBackend(KnobBackend[LiveWorkload]):
    """Sets knobs by their own ``apply`` and ``read``, and restores them.

    The value of a knob is read before its first change. It is restored on ``close()`` and at the end of the process. A
    process that is killed restores nothing, since a journal could not call the knob's functions. Settings in files do
    have a journal: see ``spec_envs.tuning.backends.system_settings.SystemWorkload``.

    Args:
        workload: The workload that runs, with its knobs.
        effect: ``WRITE`` (default), so that a branch never sets a knob. ``SAMPLE`` is right only if the system that the
            knobs belong to is private to this backend.

    Raises:
        InvalidConfiguration: A knob has no ``apply`` or no ``read``.
    """

    def __init__(self, workload: LiveWorkload, *, effect: Effect = Effect.WRITE) -> None:
        super().__init__(workload, workload.knobs, effect)
        for knob in workload.knobs:
            if knob.apply is None or knob.read is None:
                raise InvalidConfiguration(f"{knob.name} needs apply and read to be set on a live system: {knob!r}")
        self._before: dict[str, Value] = {}
        self._pid = 0

    def close(self) -> None:
        """Restore every knob that was set, even if another knob cannot be restored. Idempotent.

        Raises:
            HandlerFailed: A knob has another value after it was restored.
        """
        with self._mutex, contextlib.ExitStack() as restoring:
            self._closed = True
            atexit.unregister(self._at_exit)
            for knob in self._knobs:
                if knob.name in self._before:
                    restoring.callback(super()._set, knob, self._before.pop(knob.name))

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:  # a forked child must not restore what its parent has set
            self.close()

    def _set(self, knob: Knob, value: Value) -> None:
        if not self._before:
            self._pid = os.getpid()
            atexit.register(self._at_exit)
        if knob.name not in self._before:
            assert knob.read is not None
            self._before[knob.name] = knob.read()
        super()._set(knob, value)
