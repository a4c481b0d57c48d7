"""The calls in flight at one server: what each of them has had of the server's time so far.

Pure: no clock; times are given in seconds.
"""

from __future__ import annotations

import dataclasses
import math

from spec_envs.wrappers.tools.disciplines import DISCIPLINES
from spec_envs.wrappers.tools.sharing import Sharing


@dataclasses.dataclass(slots=True)
class Watched:
    """A call in flight at one server.

    Args:
        tool: The tool.
        is_ahead: Whether no agent waits for the call.
        is_sure: Whether it is known which calls were in flight beside this one.
    """

    tool: str
    is_ahead: bool
    is_sure: bool
    #: What the server took for the call so far, in seconds, by each discipline.
    served: list[float] = dataclasses.field(default_factory=lambda: [0.0] * len(DISCIPLINES))
    #: How long the agents' own calls would have been served and were not, because of calls ahead of time.
    lost: list[float] = dataclasses.field(default_factory=lambda: [0.0] * len(DISCIPLINES))


class Load:
    """The load of one server.

    Args:
        sharing: What is known of the server.

    Attributes:
        calls: The calls in flight that are watched, by the number of the execution, in the order in which they came.
        unwatched: How many more calls are in flight (>= 0).
        busy_until: Until when the server may be at work on calls that were given up.
    """

    def __init__(self, sharing: Sharing) -> None:
        self.sharing = sharing
        self.calls: dict[int, Watched] = {}
        self.unwatched = 0
        self.busy_until = -math.inf
        self._seen_at = 0.0

    def advance(self, now: float) -> None:
        """The calls have been in flight side by side until now."""
        passed, self._seen_at = now - self._seen_at, now
        number, own = len(self.calls), sum(not each.is_ahead for each in self.calls.values())
        own_place = 0
        for place, call in enumerate(self.calls.values()):
            for at, discipline in enumerate(DISCIPLINES):
                share = discipline.share(place, number)
                call.served[at] += passed * share
                if not call.is_ahead:
                    call.lost[at] += passed * max(0.0, discipline.share(own_place, own) - share)
            own_place += not call.is_ahead

    def doubt(self) -> None:
        """From now on it is unknown what is in flight beside the calls."""
        for call in self.calls.values():
            call.is_sure = False
