"""The calls that are in flight at each server: which had to wait for which, and whether there is room for more.

Pure: no clock; times are given in seconds.
"""

from __future__ import annotations

import math

from spec_envs.wrappers.tools.calls import Execution, ExecutionState
from spec_envs.wrappers.tools.estimates import ToolEstimates
from spec_envs.wrappers.tools.load import Load, Watched

#: Beside so many calls another one is not watched any more: each event costs time for every call that is watched.
_MOST_WATCHED = 16
#: How long a call is assumed to take whose tool is not known.
_UNKNOWN_S = 1.0


class Loads:
    """The calls in flight at the servers of one proxy.

    Args:
        estimates: What is known of the servers; may outlive the proxy.
    """

    def __init__(self, estimates: ToolEstimates) -> None:
        self._estimates = estimates
        self._loads: dict[str, Load] = {}
        self._load_of: dict[int, Load] = {}  # by the number of the execution

    def _load(self, server: str) -> Load:
        if server not in self._loads:
            self._loads[server] = Load(self._estimates.of(server))
        return self._loads[server]

    def begin(self, server: str, execution: Execution) -> None:
        """``execution`` begins, of a tool of ``server``."""
        load, now = self._load(server), execution.started_at
        load.advance(now)
        self._load_of[execution.id] = load
        if len(load.calls) < _MOST_WATCHED:
            is_ahead, is_sure = execution.reason is not None, now >= load.busy_until and not load.unwatched
            load.calls[execution.id] = Watched(execution.call.name, is_ahead, is_sure)
        else:
            load.unwatched += 1
            load.doubt()

    def began(self, execution: Execution, now: float) -> None:
        """The server gets ``execution`` now: after calls that began later, maybe, but were sent at once."""
        load = self._load_of.get(execution.id)
        if load is not None and execution.id in load.calls:
            load.advance(now)
            load.calls[execution.id] = load.calls.pop(execution.id)

    def join(self, execution: Execution, now: float) -> None:
        """An agent waits for ``execution`` from now on."""
        load = self._load_of.get(execution.id)
        if load is not None and execution.id in load.calls:
            load.advance(now)
            load.calls[execution.id].is_ahead = False

    def end(self, execution: Execution) -> float:
        """``execution`` has ended. Return what it would have taken without the calls ahead of time beside it."""
        load, now = self._load_of.pop(execution.id), execution.ended_at
        seconds = now - execution.started_at
        load.advance(now)
        call, sharing = load.calls.pop(execution.id, None), load.sharing
        if call is None:
            load.unwatched -= 1
            return seconds
        if execution.state is ExecutionState.CANCELLED:  # the server may go on with the call
            load.busy_until = max(load.busy_until, now + sharing.usual_s(call.tool, _UNKNOWN_S))
            load.doubt()
        elif execution.state is ExecutionState.DONE and call.is_sure:
            sharing.took(call.tool, call.served)
        # An agent's own call would have waited for the agent's other calls in any case.
        return seconds - call.lost[sharing.place] if execution.reason is None else call.served[sharing.place]

    def ask_again_at(self, server: str, tool: str, since: list[float], now: float) -> float | None:
        """``None`` if a call ahead of time would delay no call of an agent; or else when to ask again.

        Infinite: when a call has ended. For ``since`` see ``Thoughts.ask_again_at``.
        """
        load = self._load(server)
        at_once = load.sharing.at_once
        if at_once is None:
            return None
        in_flight = len(load.calls) + load.unwatched + (now < load.busy_until)
        if in_flight < at_once - 1:
            return None  # and one more call is answered at once
        if in_flight >= at_once:
            return math.inf if load.calls else load.busy_until
        return self._estimates.thoughts.ask_again_at(since, now, load.sharing.usual_s(tool, _UNKNOWN_S))
