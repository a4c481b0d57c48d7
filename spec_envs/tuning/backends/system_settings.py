"""Settings of the whole system, in files below /proc/sys and /sys: the ``sysctl`` backend with ``allow_system=True``.

Nothing is written without the user's permission. Only files that a workload declares are written, and only with values
within the ranges of their knobs. The journal has the old value before a file is written; see ``system/journal.py``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.backends.live_system import KnobBackend, LiveWorkload
from spec_envs.tuning.knobs import Knob, Value
from spec_envs.tuning.system.journal import Journal, read_file

_INSTEAD = 'backend="simulated", "eevdf", "sqlite", and "sysctl" with its own workload do not change the system'


@runtime_checkable
class SystemWorkload(LiveWorkload, Protocol):
    """A workload that runs itself, under settings of the system."""

    @property
    def files(self) -> Mapping[str, str]:
        """The file of each knob."""
        ...


class SystemBackend(KnobBackend[SystemWorkload]):
    """Writes settings of the system, reads them back, and runs a workload. One measurement at a time.

    All its calls are ``WRITE``, so a branch never makes them.

    Args:
        workload: The workload that runs, with the settings that may change.
        allow_system: Must be ``True``. The settings affect everybody on this machine.
        journal: The folder of the journal; default: the folder of this user's journal.

    Raises:
        InvalidConfiguration: ``allow_system`` is not ``True``, or the file of a setting is not declared, is missing, or
            may not be written.
        HandlerFailed: Another process is changing settings.
    """

    def __init__(
        self, workload: SystemWorkload, *, allow_system: bool = False, journal: str | Path | None = None
    ) -> None:
        if allow_system is not True:  # other true values, such as "no", do not count
            raise InvalidConfiguration(
                f"{workload.name} changes settings that affect everybody on this machine "
                f"({', '.join(workload.files.values())}); say allow_system=True if that is what you want; {_INSTEAD}"
            )
        files = workload.files
        for knob in workload.knobs:
            if knob.name not in files:
                raise InvalidConfiguration(f"{workload.name} declares no file for {knob.name!r}, only {dict(files)!r}")
            _check_writable(files[knob.name])
        self._journal = Journal(journal)
        super().__init__(workload, tuple(self._bound(knob, files[knob.name]) for knob in workload.knobs), Effect.WRITE)

    def close(self) -> None:
        """Restore every setting. Idempotent."""
        with self._mutex:
            self._closed = True
            self._journal.close()

    def _bound(self, knob: Knob, path: str) -> Knob:
        """``knob`` with ``apply`` and ``read`` for its file."""

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
        return " ".join(chosen.split())  # the kernel separates the figures of a setting by tabs
    try:
        return int(chosen) if knob.kind == "int" else float(chosen)
    except ValueError:
        return chosen
