"""How long the plain loop would take under rate limits: its calls one after the other, each as soon as it is allowed.

Pure: times are given as numbers.
"""

import collections
from collections.abc import Mapping

from spec_envs.wrappers.quota import HandlerLimit


class PlainClock:
    """Follows the plain loop along the calls whose responses the episode uses.

    Args:
        limits: The limits of handlers; only ``max_calls`` in ``per_s`` counts here.

    Attributes:
        limited_s: How long the plain loop would have waited until it was allowed to make its calls, in seconds.
    """

    def __init__(self, limits: Mapping[str, HandlerLimit]) -> None:
        self.limited_s = 0.0
        self._now = 0.0
        self._window_s = {name: limit.per_s for name, limit in limits.items() if limit.max_calls is not None}
        self._began = {name: collections.deque[float](maxlen=limits[name].max_calls) for name in self._window_s}
        #: When the last response became final, and how long the episode had waited by then.
        self._real: tuple[float, float] | None = None

    @property
    def is_needed(self) -> bool:
        """Whether any handler has a rate limit."""
        return bool(self._window_s)

    def used(self, handler: str, seconds: float, now: float, waited_s: float) -> None:
        """The episode uses the response of a call.

        Args:
            handler: The handler of the call.
            seconds: How long the call took.
            now: The time of the runtime's clock.
            waited_s: How long the episode has waited for responses so far. The rest of the time passes in the plain
                loop, too.
        """
        if self._real is not None:
            self._now += max(0.0, (now - self._real[0]) - (waited_s - self._real[1]))
        self._real = now, waited_s
        began = self._began.get(handler)
        if began is not None:
            if len(began) == began.maxlen:
                allowed_from = began[0] + self._window_s[handler]
                self.limited_s += max(0.0, allowed_from - self._now)
                self._now = max(self._now, allowed_from)
            began.append(self._now)
        self._now += seconds
