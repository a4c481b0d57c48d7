"""How busy the machine is during a window."""

import time
from collections.abc import Callable

import psutil

from spec_envs.tuning.measurement import Machine


def watch() -> Callable[[], Machine]:
    """Begin to watch the machine; the returned function gives its state since then."""
    begin, switches = time.monotonic(), psutil.cpu_stats().ctx_switches

    def seen() -> Machine:
        seconds = max(time.monotonic() - begin, 1e-9)
        load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
        more = psutil.cpu_stats().ctx_switches - switches
        return Machine(load, psutil.virtual_memory().percent / 100, max(0, more) / seconds)

    return seen
