"""The calls of the tree's nodes as they are made: begun, shared, let go, ended.

Pure, like the tree that owns it: time only enters as a number.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from spec_envs.wrappers.speculation.tree.nodes import Cancel, Command, Node, Run, RunState, Start, response_key
from spec_envs.wrappers.speculation.tree.reads import SharedReads

if TYPE_CHECKING:
    from spec_envs.calls import Call
    from spec_envs.handling import Usage
    from spec_envs.wrappers.speculation.tree.limits import Limits
    from spec_envs.wrappers.speculation.tree.planner import Planner


class Runs:
    """Gives nodes their runs and takes them back; issues ``Start`` and ``Cancel``.

    A ``SAMPLE`` that was started is cancelled only when its node cannot be reached any more, never for a better use of
    its place: what would be dropped then would be the slow draws.
    """

    def __init__(self, limits: Limits, planner: Planner, commands: list[Command], *, shadow_every: int) -> None:
        self._planner = planner
        self._commands = commands
        self._reads = SharedReads(limits.read_ttl_s, limits.max_reads)
        self._inflight: dict[Run, None] = {}
        self._ids = itertools.count()
        self._shadow_every = shadow_every
        self._num_loose = 0

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self, node: Node, now: float, *, speculative: bool) -> None:
        """Make the call of ``node``, or share an equal one; that one may be done, and ``node`` answered at once."""
        assert node.call is not None and node.process is not None
        shared = self._reads.find(node.call, now)
        if shared is not None:
            node.run = shared
            shared.nodes.append(node)
            if not speculative:
                self._planner.promoted(shared)
            return
        ahead = not all(ancestor.answered for ancestor in node.ancestors())
        node.run = Run(next(self._ids), node.call, node.process, speculative, now, ahead=ahead, nodes=[node])
        self._launch(node.run)

    def promote(self, node: Node, now: float) -> None:
        """The speculative call of ``node`` has become the authoritative one.

        If it was matched loosely, the call is now and then made with its true query too, to see what matching costs.
        """
        assert node.run is not None
        self._planner.promoted(node.run)
        if not node.lossy or node.call is None or node.process is None:
            return
        self._num_loose += 1
        if self._num_loose % self._shadow_every == 0 and node.run.call != node.call:
            self._launch(Run(next(self._ids), node.call, node.process, True, now, ahead=True, shadow_of=node.run))

    def _launch(self, run: Run) -> None:
        self._planner.started(run)
        self._inflight[run] = None
        self._reads.add(run)
        self._commands.append(Start(run))

    # -- letting go ----------------------------------------------------------------------------------------------

    def let_go(self, node: Node) -> None:
        """Part ``node`` from its run; if ``node`` is gone, and nobody else waits for the run or may, it ends."""
        run = node.run
        assert run is not None
        run.nodes.remove(node)
        if node.alive:
            node.run = None
        elif not run.nodes and self._reads.find(run.call, -math.inf) is not run:
            self._cancel(run)

    def make_room(self) -> None:
        """Cancel the shared calls that no node waits for, if a node waits for their place."""
        if self._planner.has_waiting:
            for run in self._reads.orphans():
                self._reads.drop(run)
                self._cancel(run)

    def invalidate(self, write: Call) -> None:
        """Forget what ``write``, which begins now, may make stale; until it is done no such ``READ`` starts."""
        for run in self._reads.touched_by(write):
            if not run.nodes:
                self._cancel(run)

    def cancel_all(self) -> None:
        """Share nothing any more, and cancel every call that is in flight."""
        self._reads.clear()
        for run in tuple(self._inflight):
            self._cancel(run)

    def _cancel(self, run: Run) -> None:
        if run.state is RunState.RUNNING:
            run.state = RunState.CANCELLED
            self._commands.append(Cancel(run))

    # -- ending --------------------------------------------------------------------------------------------------

    def responded(self, run: Run, response: Any, usage: Usage, now: float) -> None:
        """The handler of ``run`` has returned. Unless it was cancelled before, ``run`` is now ``DONE``."""
        self._require_in_flight(run)
        run.response, run.key = response, response_key(response)
        self._end(run, RunState.DONE, usage, now)

    def failed(self, run: Run, error: BaseException, usage: Usage, now: float) -> None:
        """The handler of ``run`` has raised. Unless it was cancelled before, ``run`` is now ``FAILED``."""
        self._require_in_flight(run)
        self._end(run, RunState.FAILED, usage, now)
        if run.state is RunState.FAILED:
            run.error = error
        self._reads.drop(run)

    def stopped(self, run: Run, usage: Usage, now: float) -> None:
        """The handler of the cancelled ``run`` has returned without a response."""
        if run.state is not RunState.CANCELLED:
            raise ValueError(f"run {run.id} is {run.state.value}; only a cancelled run can stop")
        self._end(run, RunState.STOPPED, usage, now)

    def _require_in_flight(self, run: Run) -> None:
        if not run.in_flight:
            raise ValueError(f"run {run.id} has already ended: it is {run.state.value}")

    def _end(self, run: Run, state: RunState, usage: Usage, now: float) -> None:
        run.state = state if run.state is RunState.RUNNING else RunState.STOPPED
        run.ended_at, run.usage = now, usage
        del self._inflight[run]
        self._planner.ended(run)
