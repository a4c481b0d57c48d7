"""Workloads under settings of the system: reads of a file from the disk, and writes to fresh memory."""

from __future__ import annotations

import dataclasses
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from spec_envs.checks import integer
from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import MeasureQuery, Metrics

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
        integer("megabytes", self.megabytes, least=1)

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
