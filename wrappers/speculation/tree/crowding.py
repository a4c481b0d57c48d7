"""Which calls ran beside each other: counts the calls in flight for ``Crowd``, and asks it whether more may begin.

Pure, like the tree that owns it.
"""

import collections
import dataclasses

from spec_envs.wrappers.crowding import Crowd
from spec_envs.wrappers.speculation.tree.nodes import DONE, Run


@dataclasses.dataclass(slots=True)
class _Beside:
    """How many calls were in flight when a call began, of its handler and of others; and whether more began later."""

    own: int
    others: int
    joined: bool = False


class Crowding:
    """The calls in flight, and whether another call would slow them down.

    Args:
        crowds: How many calls at once each handler can take, as far as is known; may outlive the tree.
    """

    def __init__(self, crowds: collections.defaultdict[str, Crowd]) -> None:
        self._crowds = crowds
        self._beside: dict[Run, _Beside] = {}
        self._gone: dict[str, float] = {}  # by handler, until when its server may be busy with cancelled calls

    def has_room(self, handler: str) -> bool:
        """Whether another speculative call of ``handler`` may begin without slowing other calls down."""
        ahead = collections.Counter(run.call.handler for run in self._beside if run.speculative)
        total = sum(ahead.values())
        for name in {handler, *(run.call.handler for run in self._beside)}:
            crowd = self._crowds[name]
            if crowd.own_only and name != handler:
                continue
            if not crowd.has_room(ahead[name] if crowd.own_only else total):
                return False
        return True

    def begin(self, run: Run, now: float) -> None:
        """``run`` begins."""
        handler = run.call.handler
        for beside in self._beside.values():
            beside.joined = True
        inflight = [each.call.handler for each in self._beside]
        inflight += [name for name, until in self._gone.items() if until > now]
        own = inflight.count(handler)
        self._beside[run] = _Beside(own, len(inflight) - own)

    def end(self, run: Run, usual_s: float) -> None:
        """``run`` has returned; a call of its handler usually takes ``usual_s``."""
        beside, handler = self._beside.pop(run, None), run.call.handler
        if beside is None:
            return
        # In a queue, the calls that began later did not hold this call up.
        alone_at_first = beside.joined and not beside.own and not beside.others
        if run.state is DONE and not alone_at_first:
            self._crowds[handler].took(run.ended_at - run.started_at, own=beside.own, others=beside.others)
        elif run.state is not DONE:
            until = run.ended_at + usual_s
            self._gone[handler] = max(self._gone.get(handler, 0.0), until)

    def made(self, handler: str, seconds: float) -> None:
        """A call was made alone, without a run."""
        self._crowds[handler].took(seconds, own=0, others=0)

    def was_beside(self, run: Run) -> bool:
        """Whether other calls were in flight beside ``run``, which has not ended yet."""
        beside = self._beside.get(run)
        return beside is not None and bool(beside.own or beside.others or beside.joined)

    def fails_beside(self, handler: str) -> None:
        """A call of ``handler`` has failed, perhaps because other calls were in flight beside it."""
        self._crowds[handler].is_single()

    def fails_alone(self, handler: str) -> None:
        """A call of ``handler`` has failed alone, after it had failed beside other calls."""
        self._crowds[handler].fails_alone()

    @property
    def num_inflight(self) -> int:
        """The number of calls in flight."""
        return len(self._beside)
