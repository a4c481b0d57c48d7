"""The sets of processor cores on which measurements run side by side without sharing a core."""

import os
from pathlib import Path

from spec_envs.checks import as_integer
from spec_envs.errors import InvalidConfiguration

CoreSet = tuple[int, ...]

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def core_sets(size: int) -> list[CoreSet]:
    """The greatest number of disjoint sets of ``size`` cores, made of the cores that this process may use.

    Of the hardware threads of one core only the first is used, since the others would disturb it.

    Raises:
        InvalidConfiguration: There are fewer than ``size`` cores, or ``size`` is not an integer of at least 1.
    """
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    cores = [core for core in usable if core == min(_siblings(core) & set(usable))]
    number = as_integer(size)
    if number is None or not 1 <= number <= len(cores):
        raise InvalidConfiguration(f"cores must be an integer from 1 to {len(cores)}, the number here, not {size!r}")
    return [tuple(cores[first : first + number]) for first in range(0, len(cores) - number + 1, number)]


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
