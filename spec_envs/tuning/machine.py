"""What measurements need of the machine: cores, the scheduler slice of a task, and the load during a window.

The C library does not wrap the system calls that set and read the slice: ``sched_setattr(2)``, ``sched_getattr(2)``.
"""

import ctypes
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.tuning.measurement import Machine

CoreSet = tuple[int, ...]

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def core_sets(size: int) -> list[CoreSet]:
    """As many disjoint sets of ``size`` cores as the cores that this process may use allow.

    Of the hardware threads of one core only the first is used, since the others would disturb it.

    Raises:
        InvalidConfiguration: There are fewer than ``size`` cores, or ``size`` is not an integer of at least 1.
    """
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    cores = [core for core in usable if core == min(_siblings(core) & set(usable))]
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= len(cores):
        raise InvalidConfiguration(f"cores must be an integer from 1 to {len(cores)}, the number here, not {size!r}")
    return [tuple(cores[first : first + size]) for first in range(0, len(cores) - size + 1, size)]


def _siblings(core: int) -> set[int]:
    """The hardware threads that share a core with ``core``, itself included."""
    try:
        text = Path(_SIBLINGS.format(core)).read_text()
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found | {core}


#: The first kernel on which the slice of an ordinary task can be set.
_KERNEL = (6, 12)
_GENERIC = (274, 275)  # from asm-generic/unistd.h, which newer architectures share
#: The numbers of the system calls sched_setattr and sched_getattr, by architecture.
_NUMBERS = {
    "x86_64": (314, 315),
    "i386": (351, 352),
    "i686": (351, 352),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
    "armv7l": (380, 381),
    "ppc64le": (355, 356),
    "s390x": (345, 346),
}
_INSTEAD = 'backend="simulated" models the same and runs anywhere'


class _Attributes(ctypes.Structure):
    """``struct sched_attr`` in its first version. For ordinary tasks ``runtime`` is the slice in ns."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def check_kernel(release: str | None = None, machine: str | None = None) -> None:
    """Check that slices can be set on this machine.

    Args:
        release: The release of the kernel; default: the running kernel's.
        machine: The architecture; default: this machine's.

    Raises:
        InvalidConfiguration: Slices cannot be set; the message says why, and what can be used instead.
    """
    if sys.platform != "linux":
        raise InvalidConfiguration(f"scheduler slices need Linux, and this is {sys.platform}; {_INSTEAD}")
    release, machine = release or platform.release(), machine or platform.machine()
    found = re.match(r"(\d+)\.(\d+)", release)
    if found is None or (int(found[1]), int(found[2])) < _KERNEL:
        raise InvalidConfiguration(f"scheduler slices can be set since Linux 6.12, and this is {release}; {_INSTEAD}")
    if machine not in _NUMBERS:
        raise InvalidConfiguration(f"the number of sched_setattr(2) on {machine} is not known; {_INSTEAD}")


def set_slice(tid: int, slice_ns: int) -> None:
    """Set the slice of a task of this user, and read it back.

    Raises:
        HandlerFailed: The kernel refused to set the slice, or has set another value.
    """
    attributes = _get(tid)
    attributes.runtime = slice_ns
    _call(0, tid, ctypes.byref(attributes), 0)
    if (found := get_slice(tid)) != slice_ns:
        raise HandlerFailed(f"the slice of task {tid} was set to {slice_ns} ns, but reads {found} ns")


def get_slice(tid: int) -> int:
    """The slice of a task in ns.

    Raises:
        HandlerFailed: There is no such task.
    """
    return int(_get(tid).runtime)


def tids_of(pid: int) -> list[int]:
    """The tasks (threads) of a process.

    Raises:
        HandlerFailed: There is no such process.
    """
    try:
        return sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    except FileNotFoundError:
        raise HandlerFailed(f"process {pid} has ended") from None


def _get(tid: int) -> _Attributes:
    attributes = _Attributes(size=ctypes.sizeof(_Attributes))
    _call(1, tid, ctypes.byref(attributes), ctypes.sizeof(_Attributes), 0)
    return attributes


def _call(which: int, tid: int, *arguments: object) -> None:
    number = _NUMBERS[platform.machine()][which]
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    if libc.syscall(ctypes.c_long(number), ctypes.c_long(tid), *words) != 0:
        code = ctypes.get_errno()
        name = ("sched_setattr", "sched_getattr")[which]
        raise HandlerFailed(f"{name}(2) on task {tid} failed: {os.strerror(code)}")


def watch() -> Callable[[], Machine]:
    """Begin to watch the machine; the returned function gives its state since then."""
    begin, switches = time.monotonic(), psutil.cpu_stats().ctx_switches

    def seen() -> Machine:
        seconds = max(time.monotonic() - begin, 1e-9)
        load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
        more = psutil.cpu_stats().ctx_switches - switches
        return Machine(load, psutil.virtual_memory().percent / 100, max(0, more) / seconds)

    return seen
