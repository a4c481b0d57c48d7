"""The speculation tree: which guessed steps exist and what becomes of them.

Pure: no threads, clocks, randomness or I/O; time only enters as a number on an event. Every event is a method. The
method returns commands, which the driver carries out in order. An event that does not fit the state of the tree raises
an error and changes nothing.

The root is where the real episode stands. ``demand`` makes the root's call authoritative. ``commit`` moves the root on
when the response to this call is final. In between, guessers predict the responses to the calls of the root and of
every started branch (``Predict``, ``guessed``), and the best of the calls that follow are started (``Start``,
``responded``). If the call of a branch is answered before the calls of its ancestors, the wrong children of the branch
are discarded at once, and the right child inherits the whole probability of the branch.

While a node waits, reads may be prefetched on a side branch of the node (``Process.aside``): actions are guessed for
the side branch, their ``READ`` calls are started as on any branch, and the side branch goes on from the real responses.
The episode never moves to a side branch. Only its reads stay, for equal calls to share.

The machine here tells its parts what has happened, and joins the commands that they return. After each event it starts
the calls for which there is room. Each part owns one fact, and does not know the other parts:

* ``branches``: which nodes there are (the only writer of ``Node``);
* ``runs``, with ``reads``: the executions of their calls, and who shares them (the only writer of ``Run``);
* ``predicting``: which nodes wait for a guesser, which nodes have a guesser at work, and whether its guesses come in
  time;
* ``claims``: which probabilities guessers have claimed, and how reliable these claims were;
* ``queue``: which call has the greatest expected gain;
* ``dial``, with ``controller``: whether a call is worth its cost;
* ``places``: whether there is room for a call (slots, limits of handlers; ``budget``); told of calls by ``runs``.
"""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from spec_envs.calls import READ, WRITE, Call
from spec_envs.guesses import Guess
from spec_envs.usage import NOTHING, Usage
from spec_envs.values import key_or_itself
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.quota import Quota
from spec_envs.wrappers.speculation.tree.branches import NO_CHANGE, Branches, Canonical, Change
from spec_envs.wrappers.speculation.tree.budget import GreatestUsage
from spec_envs.wrappers.speculation.tree.claims import Claims
from spec_envs.wrappers.speculation.tree.commands import Command, Committed, Discarded
from spec_envs.wrappers.speculation.tree.crowding import Crowding
from spec_envs.wrappers.speculation.tree.dial import Dial
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import DONE, FAILED, RUNNING, Node, Process, Run
from spec_envs.wrappers.speculation.tree.places import Places
from spec_envs.wrappers.speculation.tree.predicting import Predicting
from spec_envs.wrappers.speculation.tree.queue import Queue, share_of
from spec_envs.wrappers.speculation.tree.runs import Runs

_INF = math.inf


class SpeculationTree:
    """The state machine; see the module.

    Args:
        limits: Bounds of what speculation may use.
        guessable: Names of the handlers that have a guesser.
        prefetching: Names of the handlers with a prefetcher, which guesses actions for the side branches of their
            calls.
        frugal: Names of the handlers whose guesser can be asked for only those guesses that cost nothing.
        external: Names of the handlers that the tree may not call (a policy outside the wrapper). Their responses may
            be guessed; the real responses come with ``commit``.
        canonical: Looser matching, by handler: two responses with equal canonical forms count as equal. Lossy.
        shadow_every: Every ``shadow_every``-th loosely matched call is made again with its true query, to see whether
            the response is different.
        inflight: Cancelled calls of an earlier tree that have not returned yet; they keep their slots until they do.
        wasted: The usage that speculation has wasted before.
        estimates: Estimates of handlers and guessers; the tree adds to them. ``None``: new estimates.
        greatest_usage: ``greatest_usage(call)`` is the greatest usage that the call's handler declares; ``None``:
            unknown.
        watches_crowds: Whether a handler gets fewer calls at once if calls in flight beside each other are slower.
        quotas: The calls of an earlier tree, which count against the limits of handlers; ``None``: there are none.

    Attributes:
        root: Where the real episode stands; ``None`` while there is none.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        guessable: Container[str] = (),
        prefetching: Container[str] = (),
        frugal: Container[str] = (),
        external: Container[str] = (),
        canonical: Mapping[str, Canonical] | None = None,
        shadow_every: int = 10,
        inflight: Iterable[Run] = (),
        wasted: Usage = NOTHING,
        estimates: Estimates | None = None,
        quotas: Mapping[str, Quota] | None = None,
        greatest_usage: GreatestUsage = lambda call: None,
        watches_crowds: bool = False,
    ) -> None:
        self.root: Node | None = None
        self._limits = limits
        self._guessable = guessable
        self._prefetching = prefetching
        self._external = external
        self._demanded = False
        self._held_until = _INF
        estimates = Estimates() if estimates is None else estimates
        inflight = tuple(inflight)
        crowding = Crowding(estimates.crowds) if watches_crowds else None
        self._branches = Branches(limits, dict(canonical or {}))
        self._places = Places(limits, estimates.calls, wasted, quotas, inflight, greatest_usage, crowding)
        self._runs = Runs(limits, self._places, shadow_every=shadow_every, inflight=inflight)
        self._queue = Queue()
        self._claims = Claims(estimates.guessers, limits.calibrate)
        self._dial = Dial(limits, estimates)
        self._predicting = Predicting(limits, estimates, self._dial, frugal)

    # -- events --------------------------------------------------------------------------------------------------

    def rebase(self, process: Process | None, now: float) -> list[Command]:
        """Put the root at ``process`` and discard every node; ``None``: there is no episode."""
        self._demanded = False
        return self._take(self._branches.plant(process)) + self._settle(now)

    def demand(self, now: float) -> list[Command]:
        """The episode cannot go on without the root's response: its call is authoritative from now on."""
        root = self._root()
        if root.call is None or root.call.handler in self._external:
            raise ValueError(f"the root waits for {root.call}, which is not ours to make")
        if root.run is not None and root.run.state is FAILED:
            self._make_again(root)
        self._demanded = True
        return self._settle(now)

    def guessed(
        self, node: Node, guesses: Sequence[Guess], now: float, *, usage: Usage = NOTHING, early: bool = False
    ) -> list[Command]:
        """The guesser at work on ``node`` has returned, and has cost ``usage``. A guesser that failed has no guesses.

        ``early``: the guesser has not returned yet, but reports these guesses. Further guesses may follow, or replace
        them.
        """
        self._predicting.check_at_work(node)
        likely = self._claims.corrected(node, guesses) if guesses else {}
        best = max([guess.probability for guess in likely.values()]) if likely else None
        self._predicting.guessed(node, best, usage, now, early=early)
        self._dial.spent(usage)
        if not likely or not node.alive or node.answered:
            return self._settle(now)
        return self._take(self._branches.add_guesses(node, likely)) + self._settle(now)

    def began(self, run: Run, now: float) -> list[Command]:
        """The handler gets the call of ``run`` now. Needed only where ``counts_begins``."""
        self._places.began(run, now)
        return []

    def responded(self, run: Run, response: Any, usage: Usage, now: float) -> list[Command]:
        """The handler of ``run`` has returned its response."""
        self._runs.responded(run, response, usage, now)
        self._dial.spent(usage)
        commands: list[Command] = []
        if run.state is DONE:
            # A node and its descendant may share a READ, and what happens to the node may discard the descendant.
            for node in sorted(run.nodes, key=lambda node: node.level) if len(run.nodes) > 1 else tuple(run.nodes):
                if node.alive:
                    commands += self._answered(node)
        return commands + self._settle(now)

    def failed(self, run: Run, error: BaseException, usage: Usage, now: float) -> list[Command]:
        """The handler of ``run`` has raised ``error``.

        If the call was speculative, it is made again once it is authoritative. If the call was authoritative and other
        calls were in flight beside it, it is made again alone, unless it is a ``WRITE``.
        """
        blames = self._is_authoritative(run) and self._places.blames_others(run, now)
        self._runs.failed(run, error, usage, now)
        self._dial.spent(usage)
        # All draws ahead are discarded, also those that are done: to drop only those in flight would favour quick ones.
        commands = self._take(self._branches.plant(self._root().process)) if blames else []
        return commands + self._settle(now)

    def _is_authoritative(self, run: Run) -> bool:
        """Whether an error of ``run`` would reach the user."""
        is_root = self.root is not None and self.root.run is run and self._demanded
        return is_root and not run.early and run.call.effect is not WRITE

    def stopped(self, run: Run, usage: Usage, now: float, *, full: Usage | None = None) -> list[Command]:
        """The handler of the cancelled ``run`` has returned without a response.

        Args:
            run: The call.
            usage: What the call has cost until it was stopped.
            now: The time.
            full: What the call would have cost if it had not been stopped; ``None``: as much as ``usage``.
        """
        self._runs.stopped(run, usage, now)
        self._dial.spent(usage if full is None else full)
        return self._settle(now)

    def commit(self, response: Any, now: float) -> list[Command]:
        """``response`` is the real and final response to the root's call; the root moves on to the child that has it.

        ``response`` may differ from what the handler returned: the user may step with an action of their own.
        """
        root = self._root()
        if root.call is None:
            raise ValueError("the root waits for nothing: the episode has ended")
        self._demanded = False
        run = root.run if root.answered else None
        key = run.key if run is not None and run.response is response else key_or_itself(response)
        if run is not None and run.key != key:
            run = None
        shared = run is not None and self._runs.commit(run)
        predicted = self._predicting.was_predicted(root)
        change = self._branches.commit(response, key)
        child = self._branches.root
        assert child is not None
        claims, rank = self._claims.learn(root, child.key)
        self._dial.committed(None if shared else run, child)
        commands = self._leave(root)
        commands.append(Committed(root, child, response, run, shared, predicted, claims, rank))
        commands += self._take(change)
        self._queue.reconsider()
        if child.run is None:
            self._queue.forget(child)  # only ``demand`` starts the call of the root
        return commands + self._foresee(child) + self._settle(now)

    def tick(self, now: float) -> list[Command]:
        """Time has passed; see ``wake_at``."""
        return self._settle(now)

    def made(self, handler: str, seconds: float, usage: Usage) -> None:
        """A call of ``handler`` was made without the tree, and no other call was in flight beside it."""
        self._places.made(handler, seconds, usage)

    def pause(self, paused: bool) -> None:
        """While ``paused``, start no calls ahead of time, and put no guessers to work."""
        self._places.pause(paused)
        self._predicting.pause(paused)

    def close(self, now: float) -> list[Command]:
        """Discard everything and cancel every call that is in flight."""
        return self.rebase(None, now) + self._runs.cancel_all()

    # -- what the driver may read --------------------------------------------------------------------------------

    @property
    def num_nodes(self) -> int:
        """The number of nodes that are part of the tree."""
        return self._branches.num_nodes

    @property
    def num_speculative(self) -> int:
        """The number of speculative calls in flight, including cancelled calls whose handlers have not returned."""
        return self._places.num_speculative

    @property
    def num_not_predicted(self) -> int:
        """The number of responses that no guesser predicted, because its guesses would be too late or too dear."""
        return self._predicting.num_not_predicted

    def counts_begins(self, handler: str) -> bool:
        """Whether the driver has to report by ``began`` when calls of ``handler`` really begin."""
        return self._places.counts_begins(handler)

    def wake_at(self, now: float) -> float | None:
        """When to send ``tick``: then a rate limit lets the authoritative call start, or a slot is no longer held.

        ``None``: no ``tick`` is needed before the next event.
        """
        root = self.root
        if root is None or not self._demanded or root.call is None:
            return None
        if root.run is not None and root.run.is_under_way:
            wake_at: float | None = self._held_until
        else:
            wake_at = self._places.authoritative_from(root.call.handler, now)
        return None if wake_at == _INF else wake_at

    # -- what becomes of nodes -----------------------------------------------------------------------------------

    def _take(self, change: Change) -> list[Command]:
        """Tell all parts which nodes are new, changed or discarded."""
        commands: list[Command] = []
        self.root = self._branches.root
        if change is NO_CHANGE:
            return commands
        for node in change.gone:
            commands += self._leave(node)
            commands.append(Discarded(node))
        for node in change.grown:
            if node.alive and (call := node.call) is not None:
                is_offered = self._offer(node, call)
                if not is_offered or node.side_branch is not None:
                    commands += self._foresee(node)
        for node in change.changed:
            if node.alive and node.call is not None:
                self._offer(node, node.call)
            elif node.alive:
                self._queue.forget(node)
                commands += self._predicting.stop(node)
        return commands

    def _offer(self, node: Node, call: Call) -> bool:
        """Put ``node`` into the queue, if its call may be made ahead of time; return whether it may."""
        is_offered = node.run is None and node is not self.root and self._is_startable(call)
        if is_offered:
            self._queue.add(node)
        return is_offered

    def _foresee(self, node: Node) -> list[Command]:
        """Have guessers predict the response to ``node``, if its call is under way or the tree may not make it yet."""
        call, run = node.call, node.run
        if call is None or (run is not None and run.state is DONE) or self._predicting.decided.get(node):
            return []
        if node.side_branch is not None:
            if call.effect is WRITE:  # the side branch waits for an action here; its reads are not predicted
                self._predicting.add(node)
        elif node is self.root or run is not None or not self._is_startable(call):
            if call.handler in self._guessable:
                self._predicting.add(node)
            if call.handler in self._prefetching:
                return self._take(self._branches.step_aside(node))
        return []

    def _answered(self, node: Node) -> list[Command]:
        """The response to the call of ``node`` is known: the real response, if the episode comes to ``node``."""
        assert node.run is not None
        commands = self._predicting.stop(node)
        if node.run.call.effect is WRITE:
            self._queue.reconsider()
        return commands + self._take(self._branches.answer(node))

    def _leave(self, node: Node) -> list[Command]:
        """``node`` is no longer part of the tree. Its call is cancelled, unless another node waits for it or may."""
        self._claims.forget(node)
        commands = self._predicting.forget(node)
        if node.run is not None:
            return commands + self._runs.let_go(node)
        self._queue.forget(node)
        return commands

    def _make_again(self, node: Node) -> None:
        """Part ``node`` from its run, which was made ahead of time and failed. The call will then be made again."""
        self._runs.let_go(node)
        self._branches.attach(node, None)

    # -- what may start ------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> list[Command]:
        """Start calls, and put guessers to work, as many as there is room for."""
        root = self.root
        if root is None:
            return []
        run = root.run
        is_served = not self._demanded or (run is not None and run.state is RUNNING and not run.speculative)
        commands = [] if is_served else self._serve(root, now)
        predicting, queue = self._predicting, self._queue
        if predicting.waiting:
            commands += predicting.predict(root, now)
        self._held_until = _INF
        if not queue.waiting:
            return commands
        has_begun = False
        while queue.waiting and (node := self._next(root, now)) is not None:
            commands += self._begin(node, now, speculative=True)
            has_begun = True
        if queue.waiting:
            commands += self._runs.give_way()
        return commands + predicting.predict(root, now) if has_begun and predicting.waiting else commands

    def _serve(self, root: Node, now: float) -> list[Command]:
        """Make sure that the authoritative call is under way, if it may start now."""
        run = root.run
        if run is not None and run.is_under_way:
            return self._runs.promote(root, now) if run.speculative else []
        if root.call is None:
            return []
        if self._places.authoritative_from(root.call.handler, now) is not None:
            return []
        commands = self._runs.invalidate(root.call) if root.call.effect is WRITE else []
        if run is not None:
            self._make_again(root)
        return commands + self._begin(root, now, speculative=False)

    def _next(self, root: Node, now: float) -> Node | None:
        """The best node whose call may start now; ``None`` if there is no such node, or no slot for it."""
        while self._queue.waiting and (free := self._places.num_free) > 0:
            best = self._queue.best(self._places.has_room, now)
            if best is None:
                return None
            node, rank = best
            held, self._held_until = self._predicting.held(rank, now)
            if held >= free:
                return None
            self._held_until = _INF
            if self._may_start(node, root):
                return node
            self._queue.postpone(node)
        return None

    def _may_start(self, node: Node, root: Node) -> bool:
        assert node.call is not None
        probability = node.probability_from(root)
        return (
            self._limits.reach(node.level - root.level, probability)
            and not _waits_for_write(node)
            and self._dial.is_worth_calling(node.call.handler, probability, share_of(node), root)
            and self._places.has_budget(node.call)
        )

    def _is_startable(self, call: Call) -> bool:
        """Whether the tree may make ``call``, and may make it before it is authoritative."""
        return call.effect is not WRITE and call.handler not in self._external

    def _begin(self, node: Node, now: float, *, speculative: bool) -> list[Command]:
        run, commands = self._runs.begin(node, now, speculative=speculative)
        self._dial.began(run)
        self._branches.attach(node, run)
        self._queue.forget(node)
        if run.state is DONE:
            commands += self._answered(node)
        return commands + self._foresee(node)

    def _root(self) -> Node:
        if self.root is None:
            raise ValueError("there is no episode; call rebase first")
        return self.root


def _waits_for_write(node: Node) -> bool:
    """Whether a ``WRITE`` before ``node`` is not done yet, and the call of ``node`` would see its effects."""
    call, ancestor = node.call, node.parent
    assert call is not None
    while ancestor is not None:
        write = ancestor.call if ancestor.side_branch is None else None
        if write is not None and write.effect is WRITE and not ancestor.answered:
            is_declared = call.touches is not None and write.touches is not None
            if call.conflicts(write) and (is_declared or call.effect is READ):
                return True
        ancestor = ancestor.parent
    return False
