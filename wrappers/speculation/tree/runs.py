"""The executions of calls: how they begin, are shared, are let go, and end.

A ``SAMPLE`` that was started is cancelled only when its node cannot be reached any more, never because another call
could use its slot better. Otherwise slow draws would be dropped more often than quick draws. Other parts decide which
call is started, and when.

Pure, like the tree that owns it: time only enters as a number.
"""

import itertools
from collections.abc import Iterable
from typing import Any

from spec_envs.calls import READ, Call
from spec_envs.usage import Usage
from spec_envs.values import key_or_itself
from spec_envs.wrappers.speculation.tree.commands import Cancel, Command, Start
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import CANCELLED, DONE, FAILED, RUNNING, STOPPED, Node, Run, RunState
from spec_envs.wrappers.speculation.tree.places import Places
from spec_envs.wrappers.speculation.tree.reads import SharedReads


class Runs:
    """The runs in flight, and the runs that can be shared; the only writer of ``Run``.

    Args:
        limits: Bounds of the speculation.
        places: The slots; told when each run begins and ends.
        shadow_every: Every ``shadow_every``-th loosely matched call is made again with its true query.
        inflight: Cancelled calls that have not returned yet.
    """

    def __init__(self, limits: Limits, places: Places, *, shadow_every: int, inflight: Iterable[Run] = ()) -> None:
        self._places = places
        self._reads = SharedReads(limits.read_ttl_s, limits.max_reads)
        self._inflight: dict[Run, None] = dict.fromkeys(inflight)
        for run in self._inflight:
            places.begin(run)
        self._ids = itertools.count()
        self._shadow_every = shadow_every
        self._num_loose = 0  # the number of loosely matched calls since one of them was made again

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self, node: Node, now: float, *, speculative: bool) -> tuple[Run, list[Command]]:
        """The run that makes the call of ``node``: a new run, or the run of an equal ``READ`` in flight or done."""
        assert node.call is not None and node.process is not None
        shared = self._reads.find(node.call, now) if node.call.effect is READ else None
        if shared is not None:
            shared.nodes.append(node)
            self._reads.is_awaited(shared)
            if not speculative:
                self._make_authoritative(shared)
            return shared, []
        ahead, ancestor = False, node.parent
        while ancestor is not None and not ahead:
            ahead, ancestor = not ancestor.answered, ancestor.parent
        run = Run(next(self._ids), node.call, node.process, speculative, now, ahead=ahead, nodes=[node])
        return run, self._launch(run)

    def promote(self, node: Node, now: float) -> list[Command]:
        """The speculative call of ``node`` has become authoritative.

        If it was matched loosely and there is room, it is now and then made again with its true query, to see how often
        the response is different.
        """
        assert node.run is not None
        self._make_authoritative(node.run)
        if not node.lossy or node.call is None or node.process is None:
            return []
        self._num_loose += 1
        has_room = self._places.num_free > 0 and self._places.has_room(node.call.handler, now)
        if self._num_loose < self._shadow_every or node.run.call == node.call or not has_room:
            return []
        self._num_loose = 0
        shadow = Run(next(self._ids), node.call, node.process, True, now, ahead=True, shadow_of=node.run)
        return self._launch(shadow)

    def _make_authoritative(self, run: Run) -> None:
        if run.speculative:
            self._places.promote(run)
            run.speculative = False

    def _launch(self, run: Run) -> list[Command]:
        self._places.begin(run)
        self._inflight[run] = None
        if run.call.effect is READ and run.shadow_of is None:
            self._reads.add(run)
        return [Start(run)]

    # -- letting go ----------------------------------------------------------------------------------------------

    def let_go(self, node: Node) -> list[Command]:
        """Part ``node`` from its run. If ``node`` is gone, cancel the run unless others wait for it or may share it."""
        run = node.run
        assert run is not None
        run.nodes.remove(node)
        if run.nodes or (run.call.effect is READ and self._reads.keeps(run)) or node.alive:
            return []
        return self._cancel(run) if run.state is RUNNING else []

    def give_way(self) -> list[Command]:
        """Cancel the shared calls in flight for which no node waits: other calls need their slots."""
        return [command for run in self._reads.take_orphans() for command in self._cancel(run)]

    def invalidate(self, write: Call) -> list[Command]:
        """``write`` begins now: forget the results that it may make stale. No such ``READ`` starts before its end."""
        stale = self._reads.take_touched_by(write)
        return [command for run in stale if not run.nodes for command in self._cancel(run)]

    def cancel_all(self) -> list[Command]:
        """Share no results any more, and cancel every call in flight."""
        self._reads.clear()
        return [command for run in self._inflight for command in self._cancel(run)]

    def _cancel(self, run: Run) -> list[Command]:
        if run.state is not RUNNING:
            return []
        run.state = CANCELLED
        return [Cancel(run)]

    # -- ending --------------------------------------------------------------------------------------------------

    def responded(self, run: Run, response: Any, usage: Usage, now: float) -> None:
        """The handler of ``run`` has returned. Unless it was cancelled before, ``run`` is now ``DONE``."""
        self._require_in_flight(run)
        run.response, run.key = response, key_or_itself(response)
        self._end(run, DONE, usage, now)

    def failed(self, run: Run, error: BaseException, usage: Usage, now: float) -> None:
        """The handler of ``run`` has raised. Unless it was cancelled before, ``run`` is now ``FAILED``."""
        self._require_in_flight(run)
        self._end(run, FAILED, usage, now)
        if run.state is FAILED:
            run.error = error

    def stopped(self, run: Run, usage: Usage, now: float) -> None:
        """The handler of the cancelled ``run`` has returned without a response."""
        if run.state is not CANCELLED:
            raise ValueError(f"run {run.id} is {run.state.value}; only a cancelled run can stop")
        self._end(run, STOPPED, usage, now)

    def commit(self, run: Run) -> bool:
        """Record that the episode uses the response of ``run``; return whether it used it before."""
        before, run.committed = run.committed, True
        return before

    def _require_in_flight(self, run: Run) -> None:
        if not run.in_flight:
            raise ValueError(f"run {run.id} has already ended: it is {run.state.value}")

    def _end(self, run: Run, state: RunState, usage: Usage, now: float) -> None:
        run.state = state if run.state is RUNNING else STOPPED
        run.ended_at, run.usage = now, usage
        del self._inflight[run]
        self._places.end(run)
        if run.call.effect is READ:
            self._reads.ended(run)
