"""The speculation tree: which guessed steps exist and what becomes of them.

Pure: no threads, clocks, randomness or I/O; time only enters as a number on an event. Every event is a method; it
returns the commands that its driver carries out, in order. One that does not fit the state raises and changes nothing.

The root is where the real episode stands. ``demand`` makes its call the authoritative one; ``commit`` moves the root on
once its response is final. Between the two, the root and every started branch are guessed (``Ask``, ``guessed``), and
the best of the calls that follow are started (``Start``, ``responded``). A branch whose own call is answered before its
ancestors' knows its future: its wrong children go at once, and the right one inherits its whole probability.

While a node waits, reads may be prefetched on a side branch of it (``Process.aside``): actions are named for it, as
guesses are, their ``READ`` calls are started as those of any branch are, and it goes on from what these really return.
The episode never moves there; what is left of it are the reads, for equal calls to share.

What happens is told here, and after each event here is started what there is room for. What it does to the nodes is
in ``branches``, to the calls in ``runs``, to the guesses in ``asking``; which call is best, and whether it may start,
in ``planner``. Each of them adds its commands to the same list, in the order in which things happen.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.calls import Effect
from spec_envs.guesses import Guess
from spec_envs.handling import Usage
from spec_envs.wrappers.speculation.tree.asking import Asking
from spec_envs.wrappers.speculation.tree.branches import Branches
from spec_envs.wrappers.speculation.tree.nodes import Command, Node, Process, Run, RunState
from spec_envs.wrappers.speculation.tree.planner import Planner
from spec_envs.wrappers.speculation.tree.runs import Runs

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.tree.branches import Canonical
    from spec_envs.wrappers.speculation.tree.limits import Limits


class SpeculationTree:
    """The state machine; see the module.

    Args:
        limits: Bounds of what it may use.
        guessable: Names of the handlers that have a guesser.
        prefetching: Names of the handlers with a prefetcher, which names actions for the side branches of their calls.
        external: Names of the handlers that are not ours to call (a policy outside the wrapper): their responses may
            be guessed, and come with ``commit``.
        canonical: Looser matching, by handler: two responses with equal canonical forms count as the same one. Lossy.
        shadow_every: Every how-many-th loosely matched call is made again with its true query, to see whether the
            response would have been another.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        guessable: Container[str] = (),
        prefetching: Container[str] = (),
        external: Container[str] = (),
        canonical: Mapping[str, Canonical] | None = None,
        shadow_every: int = 10,
    ) -> None:
        self._external = external
        self._demanded = False
        self._commands: list[Command] = []
        self._planner = Planner(limits, external)
        self._asking = Asking(limits, self._planner, self._commands)
        self._runs = Runs(limits, self._planner, self._commands, shadow_every=shadow_every)
        self._branches = Branches(
            limits.max_nodes,
            self._planner,
            self._runs,
            self._asking,
            self._commands,
            guessable=guessable,
            prefetching=prefetching,
            canonical=dict(canonical or {}),
        )

    # -- events --------------------------------------------------------------------------------------------------

    def rebase(self, process: Process | None, now: float) -> list[Command]:
        """Put the root at ``process`` and discard every node; ``None``: there is no episode."""
        self._demanded = False
        self._branches.plant(process)
        return self._settle(now)

    def demand(self, now: float) -> list[Command]:
        """The episode cannot go on without the root's response: its call is authoritative from now on."""
        root = self._root()
        if root.call is None or root.call.handler in self._external:
            raise ValueError(f"the root waits for {root.call}, which is not ours to make")
        if root.run is not None and root.run.state is RunState.FAILED:
            self._runs.let_go(root)
        self._demanded = True
        return self._settle(now)

    def guessed(self, node: Node, guesses: Sequence[Guess], now: float, *, early: bool = False) -> list[Command]:
        """The guesser asked about ``node`` has returned; without guesses, when it failed.

        ``early``: it has not returned yet, but has these guesses, which others may follow or replace.
        """
        self._asking.guessed(node, guesses, now, early=early)
        if node.alive and not node.answered:
            self._branches.add_guesses(node, guesses)
        return self._settle(now)

    def responded(self, run: Run, response: Any, usage: Usage, now: float) -> list[Command]:
        """The handler of ``run`` has returned its response."""
        self._runs.responded(run, response, usage, now)
        if run.state is RunState.DONE:
            self._asking.called(run)
            for node in tuple(run.nodes):
                self._branches.answered(node)
        return self._settle(now)

    def failed(self, run: Run, error: BaseException, usage: Usage, now: float) -> list[Command]:
        """The handler of ``run`` has raised. If the call was speculative, it is made again once it is authoritative."""
        self._runs.failed(run, error, usage, now)
        return self._settle(now)

    def stopped(self, run: Run, usage: Usage, now: float) -> list[Command]:
        """The handler of the cancelled ``run`` has returned without a response."""
        self._runs.stopped(run, usage, now)
        return self._settle(now)

    def commit(self, response: Any, now: float) -> list[Command]:
        """``response`` is the root's real and final response; the root moves on to the child that has it.

        It need not be the response that the root's call gave: the user may step with an action of their own.
        """
        if self._root().call is None:
            raise ValueError("the root waits for nothing: the episode has ended")
        self._demanded = False
        self._branches.commit(response)
        return self._settle(now)

    def tick(self, now: float) -> list[Command]:
        """Time has passed; see ``wake_at``."""
        return self._settle(now)

    def close(self, now: float) -> list[Command]:
        """Discard everything and cancel every call that is in flight."""
        commands = self.rebase(None, now)
        self._runs.cancel_all()
        return commands + self._settle(now)

    # -- what the driver may read --------------------------------------------------------------------------------

    @property
    def root(self) -> Node | None:
        """Where the real episode stands; ``None`` while there is none."""
        return self._branches.root

    @property
    def num_nodes(self) -> int:
        """Nodes alive."""
        return self._branches.num_nodes

    @property
    def num_speculative(self) -> int:
        """Speculative calls in flight, with those that were cancelled and have not returned."""
        return self._planner.num_speculative

    @property
    def num_not_asked(self) -> int:
        """Responses that were not guessed because the guess was expected to come after them."""
        return self._asking.num_not_asked

    def wake_at(self, now: float) -> float | None:
        """When to send ``tick``: a rate limit lets the authoritative call start, or a place is no longer held."""
        root = self.root
        if root is None or not self._demanded or root.call is None:
            return None
        if _is_under_way(root):
            return self._planner.held_until
        return self._planner.wait_for_authoritative(root.call.handler, now)

    # -- what may start ------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> list[Command]:
        """Start and ask for whatever there is room for, and hand over the commands."""
        root = self._branches.root
        if root is not None:
            if self._demanded:
                self._serve(root, now)
            self._asking.ask(root, now)
            if self._fill(root, now):
                self._asking.ask(root, now)
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    def _serve(self, root: Node, now: float) -> None:
        """See to it that the authoritative call is under way."""
        if root.call is None:
            return
        if not _is_under_way(root):
            if self._planner.wait_for_authoritative(root.call.handler, now) is not None:
                return
            if root.call.effect is Effect.WRITE:
                self._runs.invalidate(root.call)
            if root.run is not None:  # it was started ahead, and failed
                self._runs.let_go(root)
            self._begin(root, now, speculative=False)
        elif root.run is not None and root.run.speculative:
            self._runs.promote(root, now)

    def _fill(self, root: Node, now: float) -> bool:
        """Start what there are places for; whether anything was started."""
        started = False
        while (node := self._planner.next(now)) is not None:
            assert node.call is not None
            if node is root:
                continue  # started by demand alone
            if not self._planner.reaches(node, root) or _waits_for_write(node):
                self._planner.postpone(node)
            elif not self._planner.is_worth_it(node.call, node.probability_from(root)):
                self._planner.postpone(node)
            else:
                self._begin(node, now, speculative=True)
                started = True
        self._runs.make_room()
        return started

    def _begin(self, node: Node, now: float, *, speculative: bool) -> None:
        self._runs.begin(node, now, speculative=speculative)
        if node.answered:
            self._branches.answered(node)
        self._branches.foresee(node)

    def _root(self) -> Node:
        if self.root is None:
            raise ValueError("there is no episode; call rebase first")
        return self.root


def _is_under_way(node: Node) -> bool:
    """Whether the node has its response, or a call that will bring it."""
    run = node.run
    if run is None:
        return False
    # A speculative call that failed is made again once it is the authoritative one.
    return run.state in (RunState.RUNNING, RunState.DONE) or (run.state is RunState.FAILED and not run.early)


def _waits_for_write(node: Node) -> bool:
    """Whether a ``WRITE`` before ``node`` is not done whose effect its call would see."""
    call = node.call
    assert call is not None
    for ancestor in node.ancestors():
        write = ancestor.call if ancestor.named is None else None
        if write is not None and write.effect is Effect.WRITE and not ancestor.answered:
            same_part = call.touches is not None and call.touches == write.touches
            if same_part or (call.effect is Effect.READ and call.conflicts(write)):
                return True
    return False
