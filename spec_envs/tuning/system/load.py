"""What the machine does while a window is measured, as psutil sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spec_envs.tuning.measurement import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["watch"]


def watch() -> Callable[[], Machine]:
    """Begin to watch; the function returned ends it, and says what was seen."""
    import psutil

    begin, switches = time.monotonic(), psutil.cpu_stats().ctx_switches

    def seen() -> Machine:
        seconds = max(time.monotonic() - begin, 1e-9)
        load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
        more = psutil.cpu_stats().ctx_switches - switches
        return Machine(load, psutil.virtual_memory().percent / 100, max(0, more) / seconds)

    return seen
