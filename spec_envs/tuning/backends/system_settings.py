"""Settings of the whole system, in files below /proc/sys and /sys: the ``sysctl`` backend with ``allow_system=True``.

Nothing is written without the user's permission. Only files that a workload declares are written, and only with values
within the ranges of their knobs. The journal has the old value before a file is written; see ``journal.py``.
"""

import dataclasses
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from spec_envs.calls import Effect
from spec_envs.checks import keep_integers
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.backends.live_system import KnobBackend, LiveWorkload
from spec_envs.tuning.couplings import is_one_way, overwritten_by
from spec_envs.tuning.journal import Journal, read_file
from spec_envs.tuning.knobs import Knob, Value
from spec_envs.tuning.measurement import MeasureQuery, Metrics

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
                f"({', '.join(workload.files.values())}); pass allow_system=True to allow this; {_INSTEAD}"
            )
        files = {name: os.path.realpath(path) for name, path in workload.files.items()}
        for knob in workload.knobs:
            if knob.name not in files:
                raise InvalidConfiguration(f"{workload.name} declares no file for {knob.name!r}, only {files!r}")
            _check_writable(workload.files[knob.name])
            if shared := [each for each in files if files[each] == files[knob.name] and each != knob.name]:
                raise InvalidConfiguration(f"{knob.name} and {shared[0]} are the same setting, {files[knob.name]}")
            if (other := overwritten_by(files[knob.name])) in files.values():
                raise InvalidConfiguration(
                    f"{files[knob.name]} and {other} overwrite each other, so {workload.name} can set only one of them"
                )
        self._paths = [files[knob.name] for knob in workload.knobs]
        self._journal = Journal(journal)
        super().__init__(workload, tuple(self._bound(knob, files[knob.name]) for knob in workload.knobs), Effect.WRITE)

    def _set_all(self, setting: Sequence[tuple[Knob, Value]]) -> None:
        self._journal.note(*self._paths)
        super()._set_all(setting)

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
        hint = "" if "/" in path else f" (a setting is given by its file, as in /proc/sys/{path.replace('.', '/')})"
        raise InvalidConfiguration(f"there is no {path} on this machine{hint}; {_INSTEAD}")
    if os.path.isdir(path):
        raise InvalidConfiguration(f"{path} is a folder, not the file of a setting")
    if is_one_way(os.path.realpath(path)):
        raise InvalidConfiguration(f"{path} could not be restored: the kernel does not take its old value back")
    if not os.access(path, os.W_OK):
        raise InvalidConfiguration(f"{path} may not be written by user {os.geteuid()}; {_INSTEAD}")


def _parsed(knob: Knob, chosen: str) -> Value:
    if knob.kind == "choice":
        return " ".join(chosen.split())  # the kernel separates the figures of a setting by tabs
    try:
        return int(chosen) if knob.kind == "int" else float(chosen)
    except ValueError:
        return chosen


_CHUNK = 64 << 10
_PAGES = 2 << 20

READ_AHEAD = Knob("read_ahead_kb", "int", 4, 4096, log=True, default=128, steps=11, unit="kB")
HUGE_PAGES = Knob("transparent_hugepage", "choice", choices=("always", "madvise", "never"), default="madvise")


@dataclasses.dataclass(frozen=True, slots=True)
class FileReads:
    """Reads a file from the disk again and again, 64 kB in each event. The knob is read-ahead.

    Attributes:
        folder: The folder of the file, which must be on a disk, since memory has no read-ahead. "" for the folder of
            temporary files.
        megabytes: Size of the file in MB, at least 1.
    """

    folder: str = ""
    megabytes: int = 64

    def __post_init__(self) -> None:
        keep_integers(self, megabytes=1)

    @property
    def name(self) -> str:
        """Such as "file reads, 64 MB"."""
        return f"file reads, {self.megabytes} MB"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """``read_ahead_kb``."""
        return (READ_AHEAD,)

    @property
    def files(self) -> Mapping[str, str]:
        """The file of the setting, which belongs to the disk that the folder is on.

        Raises:
            InvalidConfiguration: There is no such folder, or the folder is not on a disk.
        """
        folder = self.folder or tempfile.gettempdir()
        if not os.path.isdir(folder):
            raise InvalidConfiguration(f"there is no folder {folder!r} to read a file in")
        device = os.stat(folder).st_dev
        block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
        for device_folder in (block, block.parent):  # a partition's setting is that of its disk
            if (device_folder / "queue" / READ_AHEAD.name).exists():
                return {READ_AHEAD.name: str(device_folder / "queue" / READ_AHEAD.name)}
        raise InvalidConfiguration(f"{folder} is not on a disk that has {READ_AHEAD.name}; give another folder")

    def run(self, query: MeasureQuery, cancel: CancelToken) -> Metrics:
        """Read the file during a window."""
        size = self.megabytes << 20
        with tempfile.TemporaryFile(dir=self.folder or None) as file:
            for _ in range(self.megabytes):
                file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())  # the kernel drops pages from memory only once they are on the disk
            handle, at = file.fileno(), 0

            def read() -> None:
                nonlocal at
                if at == 0:
                    os.posix_fadvise(handle, 0, size, os.POSIX_FADV_DONTNEED)
                os.pread(handle, _CHUNK, at)
                at = (at + _CHUNK) % size

            return timed(read, query, cancel)


@dataclasses.dataclass(frozen=True, slots=True)
class PageTouches:
    """Allocates 2 MB of fresh memory and writes to all of it, in each event. The knob is transparent huge pages."""

    @property
    def name(self) -> str:
        """The name that people read."""
        return "page touches"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """``transparent_hugepage``."""
        return (HUGE_PAGES,)

    @property
    def files(self) -> Mapping[str, str]:
        """The file of the kernel's setting."""
        return {HUGE_PAGES.name: "/sys/kernel/mm/transparent_hugepage/enabled"}

    def run(self, query: MeasureQuery, cancel: CancelToken) -> Metrics:
        """Write to memory during a window."""
        content = bytes(_PAGES)

        def touch() -> None:
            # Twice as much as is written, so that it contains an aligned huge page.
            with mmap.mmap(-1, 2 * _PAGES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
                memory.write(content)

        return timed(touch, query, cancel)


def timed(event: Callable[[], None], query: MeasureQuery, cancel: CancelToken) -> Metrics:
    """The figures of a window in which this thread calls ``event`` again and again."""
    begin = time.monotonic_ns()
    count_from, count_until = (begin + round(seconds * 1e9) for seconds in (query.settle_s, query.window_s))
    latencies, used_from, now = [], 0, begin
    while now < count_until:
        cancel.raise_if_cancelled()
        if now >= count_from and not used_from:
            used_from = time.thread_time_ns()
        started = now
        event()
        now = time.monotonic_ns()
        if started >= count_from:
            latencies.append((now - started) / 1e6)
    share = (time.thread_time_ns() - used_from) / max(now - count_from, 1) if used_from else 0.0
    return Metrics.of(latencies, query.window_s - query.settle_s, cpu_share=min(1.0, share))
