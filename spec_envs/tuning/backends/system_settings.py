"""Settings of the whole system, in files below /proc/sys and /sys: the ``sysctl`` backend with ``allow_system=True``.

Nothing here is written unless the user has said so, only files that a workload declares, and only values within their
knobs' ranges. Everything is in the journal before (see ``journal.py``).
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from spec_envs.calls import Effect
from spec_envs.errors import EnvClosed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.live_system import set_knob
from spec_envs.tuning.measurement import Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.system.journal import Journal, read_file
from spec_envs.tuning.system.load import watch

if TYPE_CHECKING:
    from spec_envs.tuning.knobs import Knob, Value

__all__ = ["SystemBackend", "SystemWorkload"]

_INSTEAD = 'backend="simulated", "eevdf", "sqlite", and "sysctl" with its own workload change nothing of the system'


@runtime_checkable
class SystemWorkload(Protocol):
    """A workload that runs itself, under settings of the system."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """What may be set, and within which bounds: nothing else ever is."""

    @property
    def files(self) -> Mapping[str, str]:
        """The file of each knob."""

    def run(self, query: MeasureQuery, cancel: CancelToken) -> Metrics:
        """The figures of ``query.window_s`` seconds, the first ``query.settle_s`` of which do not count."""


class SystemBackend:
    """Writes settings of the system, reads them back, and lets a workload run. One measurement at a time.

    All of its calls are ``WRITE``: they are never made on a branch.

    Args:
        workload: What runs, and which settings it may change.
        allow_system: Must be ``True``; whoever says so lets everybody on this machine have these settings meanwhile.
        journal: The folder of the journal; default: that of this user.

    Raises:
        InvalidConfiguration: ``allow_system`` is not ``True``, or a file is not declared, missing, or may not be
            written.
        HandlerFailed: Another process changes settings at the moment.
    """

    effect = Effect.WRITE
    max_inflight = 1
    carries_over = False

    def __init__(
        self, workload: SystemWorkload, *, allow_system: bool = False, journal: str | Path | None = None
    ) -> None:
        self.workload = workload
        if allow_system is not True:  # "no" is true, too
            raise InvalidConfiguration(
                f"{workload.name} changes settings that everybody on this machine sees "
                f"({', '.join(workload.files.values())}); say allow_system=True if that is what you want; {_INSTEAD}"
            )
        files = workload.files
        for knob in workload.knobs:
            if knob.name not in files:
                raise InvalidConfiguration(f"{workload.name} declares no file for {knob.name!r}, only {dict(files)!r}")
            _check_writable(files[knob.name])
        self._mutex = threading.Lock()
        self._closed = False
        self._journal = Journal(journal)
        self._knobs = tuple(self._bound(knob) for knob in workload.knobs)

    def __call__(self, query: MeasureQuery, cancel: CancelToken) -> Measurement:
        """Apply, settle, measure.

        Raises:
            HandlerFailed: A setting cannot be written, or is another one after it was.
            EnvClosed: The backend was closed.
        """
        if query.workload != self.workload:
            raise InvalidConfiguration(f"this backend runs {self.workload!r}, not {query.workload!r}")
        values = dict(query.knobs)
        with self._mutex:
            if self._closed:
                raise EnvClosed("the backend was closed; make a new one")
            cancel.raise_if_cancelled()
            for knob in self._knobs:
                set_knob(knob, values[knob.name])
            seen = watch()
            return Measurement(self.workload.run(query, cancel), seen())

    def best(self, workload: Workload) -> float | None:
        """Nothing is known of it."""
        return None

    def close(self) -> None:
        """Put every setting back. Idempotent."""
        with self._mutex:
            self._closed = True
            self._journal.close()

    def _bound(self, knob: Knob) -> Knob:
        path = self.workload.files[knob.name]

        def apply(value: Value) -> None:
            self._journal.write(path, str(knob.snap(value)))

        return dataclasses.replace(knob, apply=apply, read=lambda: _parsed(knob, read_file(path)))


def _check_writable(path: str) -> None:
    if not os.path.exists(path):
        raise InvalidConfiguration(f"there is no {path} on this machine; {_INSTEAD}")
    if not os.access(path, os.W_OK):
        raise InvalidConfiguration(f"{path} may not be written by user {os.geteuid()}; {_INSTEAD}")


def _parsed(knob: Knob, chosen: str) -> Value:
    if knob.kind == "choice":
        return " ".join(chosen.split())  # the kernel puts tabs between the figures of one setting
    try:
        return int(chosen) if knob.kind == "int" else float(chosen)
    except ValueError:
        return chosen
