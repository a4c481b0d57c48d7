"""Backends for a live system: knobs that apply themselves, and a workload that runs for a window."""

import atexit
import os
import threading
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from spec_envs.calls import Effect
from spec_envs.closing import closed
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.protocol import MachineBackend, check_read_back
from spec_envs.tuning.knobs import Knob, Value
from spec_envs.tuning.load import watch
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload

#: How often all knobs are set until each has its value: the system may refuse a value until another knob is set.
_ROUNDS = 3


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
            self._set_all([(knob, values[knob.name]) for knob in self._knobs])
            seen = watch()
            return Measurement(self.workload.run(query, cancel), seen())

    def _set_all(self, setting: Sequence[tuple[Knob, Value]]) -> None:
        """Apply all values, in several rounds if need be, and check that the system has all of them in the end.

        Raises:
            HandlerFailed: The system refuses a value, or has another value; this is the first failure of the last
                round. All other knobs are still set.
            Exception: ``apply`` or ``read`` raised it.
        """
        for number in range(1, _ROUNDS + 1):
            failures: list[Exception] = []
            for knob, value in setting:
                try:
                    self._set(knob, value)
                except Exception as error:
                    failures.append(error)
            if not failures:
                try:
                    for knob, value in setting:  # once more, since a knob may change another one
                        _check(knob, value)
                    return
                except Exception as error:
                    failures.append(error)
            if number == _ROUNDS or len(setting) == 1:
                raise failures[0]

    def _set(self, knob: Knob, value: Value) -> None:
        """Apply ``value`` and check that the system has it."""
        assert knob.apply is not None
        knob.apply(value)
        _check(knob, value)


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
        self._restored = False
        self._pid = 0

    def close(self) -> None:
        """Restore every knob that was set, even if another knob cannot be restored. Idempotent.

        Raises:
            HandlerFailed: A knob has another value after it was restored.
        """
        with self._mutex:
            self._closed = True
            atexit.unregister(self._at_exit)
            if not self._restored and self._before:
                self._restored = True
                self._set_all([(knob, self._before[knob.name]) for knob in reversed(self._knobs)])

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:  # a forked child must not restore what its parent has set
            self.close()

    def _set(self, knob: Knob, value: Value) -> None:
        if not self._before:  # of all knobs, since one may change another
            before = {each.name: each.read() for each in self._knobs if each.read is not None}
            self._pid = os.getpid()
            atexit.register(self._at_exit)
            self._before = before
        super()._set(knob, value)


def _check(knob: Knob, value: Value) -> None:
    assert knob.read is not None
    check_read_back({knob.name: value}, {knob.name: knob.read()})
