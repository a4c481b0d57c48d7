"""What measurements need of the machine: the scheduler slice of a task.

The C library does not wrap the system calls that set and read the slice: ``sched_setattr(2)``, ``sched_getattr(2)``.
"""

import ctypes
import os
import platform
import re
import sys

from spec_envs.errors import HandlerFailed, InvalidConfiguration

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
    """Raise ``InvalidConfiguration`` unless a kernel (default: this machine's) can set slices; name other backends."""
    if sys.platform != "linux":
        raise InvalidConfiguration(f"scheduler slices need Linux, and this is {sys.platform}; {_INSTEAD}")
    release, machine = release or platform.release(), machine or platform.machine()
    found = re.match(r"(\d+)\.(\d+)", release)
    if found is None or (int(found[1]), int(found[2])) < _KERNEL:
        raise InvalidConfiguration(f"scheduler slices can be set since Linux 6.12, and this is {release}; {_INSTEAD}")
    if machine not in _NUMBERS:
        raise InvalidConfiguration(f"the number of sched_setattr(2) on {machine} is not known; {_INSTEAD}")


def set_slice(tid: int, slice_ns: int) -> None:
    """Set the slice of a task of this user; ``HandlerFailed`` if the kernel refuses, or has set another value."""
    attributes = _get(tid)
    attributes.runtime = slice_ns
    _call(0, tid, ctypes.byref(attributes), 0)
    if (found := get_slice(tid)) != slice_ns:
        raise HandlerFailed(f"the slice of task {tid} was set to {slice_ns} ns, but reads {found} ns")


def get_slice(tid: int) -> int:
    """The slice of a task in ns; ``HandlerFailed`` if there is no such task."""
    return int(_get(tid).runtime)


def tids_of(pid: int) -> list[int]:
    """The tasks (threads) of a process; ``HandlerFailed`` if it has ended."""
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
