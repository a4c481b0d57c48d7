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

Two rules keep draws honest. A ``SAMPLE`` that was started is cancelled only when its node cannot be reached any more,
never for a better use of its place: what would be dropped then would be the slow draws. And a branch is matched by
responses alone: by an equal guess, or because the real response leads to the same next call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.calls import Call, Effect, Guess, Usage, key_of
from spec_envs.wrappers.speculation.nodes import (
    Ask,
    Cancel,
    Command,
    Committed,
    Discarded,
    Node,
    Process,
    Run,
    RunState,
    Start,
    Unask,
)
from spec_envs.wrappers.speculation.pace import Pace
from spec_envs.wrappers.speculation.planner import Planner
from spec_envs.wrappers.speculation.reads import SharedReads

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.limits import Limits

Canonical = Callable[[Any], Hashable]

#: What is left, together, for guesses that a guesser has taken back.
_LEAST_LEFT = 1e-3


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
        self.root: Node | None = None
        self.num_nodes = 0
        self._limits = limits
        self._guessable = guessable
        self._prefetching = prefetching
        self._external = external
        self._canonical = dict(canonical or {})
        self._shadow_every = shadow_every
        self._num_loose = 0
        self._demanded = False
        self._planner = Planner(limits)
        self._pace = Pace()
        self._reads = SharedReads(limits.read_ttl_s, limits.max_reads)
        self._ids = itertools.count()
        self._to_ask: dict[Node, None] = {}
        self._asking: set[Node] = set()
        self._unexpanded: list[Node] = []
        self._runs: set[Run] = set()
        self._commands: list[Command] = []

    # -- events --------------------------------------------------------------------------------------------------

    def rebase(self, process: Process | None, now: float) -> list[Command]:
        """Put the root at ``process`` and discard every node; ``None``: there is no episode."""
        if self.root is not None:
            self._discard(self.root)
        self._demanded = False
        self._unexpanded.clear()
        self.root = None if process is None else self._node(None, None, 1.0, process)
        if self.root is not None:
            self._consider_asking(self.root)
        return self._settle(now)

    def demand(self, now: float) -> list[Command]:
        """The episode cannot go on without the root's response: its call is authoritative from now on."""
        root = self._root()
        if root.call is None or root.call.handler in self._external:
            raise ValueError(f"the root waits for {root.call}, which is not ours to make")
        if root.run is not None and root.run.state is RunState.FAILED:
            self._detach(root)
        self._demanded = True
        return self._settle(now)

    def guessed(self, node: Node, guesses: Sequence[Guess], now: float, *, early: bool = False) -> list[Command]:
        """The guesser asked about ``node`` has returned; without guesses, when it failed.

        ``early``: it has not returned yet, but has these guesses, which others may follow or replace.
        """
        if node not in self._asking:
            raise ValueError(f"node {node.id} is not being guessed")
        if early and not guesses:
            return []
        if node.guessed is None and node.call is not None:
            self._pace.guessed(node, self._planner.guessing_s(node, now), empty=not guesses)
        if not early:
            self._planner.guessed(node, max((guess.probability for guess in guesses), default=0.0), now)
            self._asking.discard(node)
            node.asking = False
        if node.alive and not node.answered:
            self._add_guesses(node, guesses)
        return self._settle(now)

    def responded(self, run: Run, response: Any, usage: Usage, now: float) -> list[Command]:
        """The handler of ``run`` has returned its response."""
        if self._end(run, RunState.DONE, usage, now, response):
            for node in tuple(run.nodes):
                self._answered(node)
        return self._settle(now)

    def failed(self, run: Run, error: BaseException, usage: Usage, now: float) -> list[Command]:
        """The handler of ``run`` has raised. If the call was speculative, it is made again once it is authoritative."""
        if self._end(run, RunState.FAILED, usage, now):
            run.error = error
        self._reads.drop(run)
        return self._settle(now)

    def stopped(self, run: Run, usage: Usage, now: float) -> list[Command]:
        """The handler of the cancelled ``run`` has returned without a response."""
        if run.state is not RunState.CANCELLED:
            raise ValueError(f"run {run.id} is {run.state.value}; only a cancelled run can stop")
        self._end(run, RunState.STOPPED, usage, now)
        return self._settle(now)

    def commit(self, response: Any, now: float) -> list[Command]:
        """``response`` is the root's real and final response; the root moves on to the child that has it.

        It need not be the response that the root's call gave: the user may step with an action of their own.
        """
        root = self._root()
        if root.call is None:
            raise ValueError("the root waits for nothing: the episode has ended")
        key = _key(response)
        used = root.run is not None and root.answered and (root.run.response is response or root.run.key == key)
        child = self._settle_on(root, response, key)
        root.children = {}
        self._leave(root)
        child.parent = None
        self.root, self._demanded = child, False
        self._commands.append(Committed(root, child, response, used))
        self._planner.reconsider()
        self._expand_again()
        self._consider_asking(child)
        return self._settle(now)

    def tick(self, now: float) -> list[Command]:
        """Time has passed; see ``wake_at``."""
        return self._settle(now)

    def close(self, now: float) -> list[Command]:
        """Discard everything and cancel every call that is in flight."""
        commands = self.rebase(None, now)
        self._reads.clear()
        for run in tuple(self._runs):
            self._cancel(run)
        return commands + self._settle(now)

    # -- what the driver may read --------------------------------------------------------------------------------

    @property
    def num_speculative(self) -> int:
        """Speculative calls in flight, with those that were cancelled and have not returned."""
        return self._planner.num_speculative

    @property
    def num_not_asked(self) -> int:
        """Responses that were not guessed because the guess was expected to come after them."""
        return self._pace.num_not_asked

    def wake_at(self, now: float) -> float | None:
        """When to send ``tick``: a rate limit lets the authoritative call start, or a place is no longer held."""
        root = self.root
        if root is None or not self._demanded or root.call is None:
            return None
        if self._is_under_way(root):
            return self._planner.held_until
        return self._planner.wait_for_authoritative(root.call.handler, now)

    # -- guesses -------------------------------------------------------------------------------------------------

    def _consider_asking(self, node: Node) -> None:
        """Have ``node`` guessed, once its own call is under way, or if that is not ours to make (yet)."""
        call = node.call
        if call is None or node.asked or node.answered:
            return
        waits = call.effect is Effect.WRITE or call.handler in self._external or node is self.root
        if node.named is not None:
            if call.effect is Effect.WRITE:  # where the side branch waits for an action; its reads are not guessed
                self._to_ask[node] = None
        elif waits or node.run is not None:
            if call.handler in self._guessable and not node.unasked:
                self._to_ask[node] = None
            if call.handler in self._prefetching:
                self._step_aside(node)

    def _step_aside(self, node: Node) -> None:
        """Give ``node`` a side branch, and have actions named for it."""
        if node.aside is not None or node.process is None or self.num_nodes >= self._limits.max_nodes:
            return
        process = node.process.aside()
        if process is not None:
            node.aside = self._node(node, None, 1.0, process)
            node.aside.named = set()
            self._consider_asking(node.aside)

    def _ask(self, now: float) -> None:
        """Ask for the most probable nodes, as far as there are places for guessers."""
        if not self._to_ask:
            return
        places = self._limits.max_inflight + 1 if self._limits.max_inflight else 0
        self._to_ask = {
            node: None for node in self._to_ask if node.alive and node.call and not node.asked and not node.answered
        }
        for node in sorted(self._to_ask, key=lambda node: -node.score):
            if len(self._asking) >= places:
                return
            if not self._may_ask(node):
                continue
            if not self._pace.pays(node):
                node.unasked = True
                del self._to_ask[node]
                continue
            node.asked = node.asking = True
            self._asking.add(node)
            self._planner.asked(node, now)
            self._commands.append(Ask(node))

    def _may_ask(self, node: Node) -> bool:
        ahead = node.run is not None and node.run.ahead
        return (not ahead or self._limits.windows_ahead) and self._reaches(node, extra_depth=1)

    def _reaches(self, node: Node, extra_depth: int = 0) -> bool:
        """Whether depth and probability allow a start at ``node``, or that many responses behind it."""
        root = self._root()
        depth = node.level - root.level + extra_depth
        if self._limits.max_depth is not None and depth > self._limits.max_depth:
            return False
        return node.probability_from(root) >= self._limits.min_probability

    def _add_guesses(self, node: Node, guesses: Sequence[Guess]) -> None:
        """Give ``node`` a child for each guess; what was guessed before and is not any more keeps what they leave."""
        merged: dict[Hashable, Guess] = {}
        for guess in guesses:
            key = _key(guess.response)
            known = merged.get(key)
            merged[key] = (
                guess if known is None else Guess(known.response, min(1.0, known.probability + guess.probability))
            )
        node.guessed = (node.guessed or frozenset()) | merged.keys()
        total = sum(guess.probability for guess in merged.values())
        dropped = [child for key, child in node.children.items() if key not in merged] if merged else []
        left = max(_LEAST_LEFT, 1.0 - total)
        total += left if dropped else 0.0
        if node.named is not None:
            total = 1.0  # of the reads named for a side branch, several may be needed
        for child in dropped:
            self._rescore(child, min(child.probability, left / len(dropped) / max(1.0, total)))
        for key, guess in sorted(merged.items(), key=lambda item: -item[1].probability):
            probability = guess.probability / max(1.0, total)
            if not probability:
                break
            if key in node.children:
                self._rescore(node.children[key], probability)
            elif self.num_nodes < self._limits.max_nodes:
                process = _advance(node, guess.response)
                if node.named is None or _is_new(node.named, process):
                    self._grow(node, key, guess.response, probability, process)

    # -- growing and cutting -------------------------------------------------------------------------------------

    def _node(self, parent: Node | None, response: Any, probability: float, process: Process | None) -> Node:
        score = (parent.score if parent else 0.0) + math.log(probability)
        level = parent.level + 1 if parent else 0
        self.num_nodes += 1
        return Node(next(self._ids), parent, response, probability, process, score, level)

    def _grow(self, parent: Node, key: Hashable, response: Any, probability: float, process: Process | None) -> Node:
        node = self._node(parent, response, probability, process)
        node.named = parent.named
        parent.children[key] = node
        if node.call is not None:
            if self._is_startable(node.call):
                self._planner.enqueue(node)
            self._consider_asking(node)
        return node

    def _answered(self, node: Node) -> None:
        """The real response of ``node``, given its branch, is known: keep the child that has it, and no other."""
        assert node.run is not None
        if node.asking:
            self._commands.append(Unask(node))
        if node.run.call.effect is Effect.WRITE:
            self._planner.reconsider()
        self._expand(node)

    def _expand(self, node: Node) -> None:
        assert node.run is not None
        if node.call is None:
            return
        self._drop_aside(node)
        if node is not self.root and not node.children and self.num_nodes >= self._limits.max_nodes:
            self._unexpanded.append(node)
        else:
            self._settle_on(node, node.run.response, node.run.key)

    def _expand_again(self) -> None:
        waiting, self._unexpanded = self._unexpanded, []
        for node in waiting:
            if node.alive and not node.children:
                self._expand(node)

    def _settle_on(self, node: Node, response: Any, key: Hashable) -> Node:
        """Make the child of ``node`` that has ``response`` its only one, with the whole probability of ``node``."""
        child = node.children.get(key)
        if child is None:
            process = _advance(node, response)
            child = self._match(node, response, process)
            node.hit = child is not None
            if child is not None:
                child.response = response
        else:
            process = child.process
            node.hit = node.hit or key in (node.guessed or ())
        for other in tuple(node.children.values()):
            if other is not child:
                self._discard(other)
        self._drop_aside(node)
        if child is None:
            child = self._grow(node, key, response, 1.0, process)
        elif child.probability < 1.0:
            self._rescore(child, 1.0)
        node.children = {key: child}
        return child

    def _match(self, node: Node, response: Any, process: Process | None) -> Node | None:
        """The child that ``response`` leads to although it was not guessed: the same next call, or a loose match."""
        if process is None or process.call is None:
            return None
        for child in node.children.values():
            if child.call is not None and child.call == process.call:
                self._rebuild(child, process, loosely=False)
                return child
        canonical = None if node.call is None else self._canonical.get(node.call.handler)
        if canonical is None:
            return None
        form = canonical(response)
        for child in node.children.values():
            if child.call is not None and canonical(child.response) == form:
                self._rebuild(child, process, loosely=True)
                return child
        return None

    def _rebuild(self, node: Node, process: Process | None, *, loosely: bool) -> None:
        """Give ``node`` the process that the real response led to, and its descendants theirs."""
        node.process, node.lossy = process, node.lossy or loosely
        self._drop_aside(node)
        for child in tuple(node.children.values()):
            advanced = _advance(node, child.response)
            call = None if advanced is None else advanced.call
            if loosely or (call is not None and call == child.call):
                self._rebuild(child, advanced, loosely=loosely)
            else:
                self._discard(child)

    def _rescore(self, node: Node, probability: float) -> None:
        gain = math.log(probability) - math.log(node.probability)
        node.probability = probability
        for descendant in node.subtree():
            descendant.score += gain
            if descendant.run is None and descendant.call is not None and self._is_startable(descendant.call):
                self._planner.enqueue(descendant)

    def _drop_aside(self, node: Node) -> None:
        if node.aside is not None:
            self._discard(node.aside)
            node.aside = None

    def _discard(self, node: Node) -> None:
        if node.parent is not None:
            node.parent.children = {k: child for k, child in node.parent.children.items() if child is not node}
        for descendant in tuple(node.subtree()):
            self._leave(descendant)
            self._commands.append(Discarded(descendant))

    def _leave(self, node: Node) -> None:
        """``node`` is no longer part of the tree; a call that nobody else waits for ends, unless it can be shared."""
        node.alive = False
        self.num_nodes -= 1
        if node.asking:
            self._commands.append(Unask(node))
        if node.run is not None:
            self._detach(node)

    # -- runs ----------------------------------------------------------------------------------------------------

    def _detach(self, node: Node) -> None:
        """``node`` lets go of its run; one that nobody waits for ends, unless it can be shared."""
        run = node.run
        assert run is not None
        run.nodes.remove(node)
        if not node.alive:
            if not run.nodes and self._reads.find(run.call, -math.inf) is not run:
                self._cancel(run)
        else:
            node.run = None

    def _is_startable(self, call: Call) -> bool:
        return call.effect is not Effect.WRITE and call.handler not in self._external

    def _is_under_way(self, node: Node) -> bool:
        """Whether the node has its response, or a call that will bring it."""
        run = node.run
        if run is None:
            return False
        # A speculative call that failed is made again once it is the authoritative one.
        return run.state in (RunState.RUNNING, RunState.DONE) or (run.state is RunState.FAILED and not run.early)

    def _settle(self, now: float) -> list[Command]:
        """Start and ask for whatever there is room for, and hand over the commands."""
        self._serve_root(now)
        self._ask(now)
        if self._fill(now):
            self._ask(now)
        commands, self._commands = self._commands, []
        return commands

    def _serve_root(self, now: float) -> None:
        root = self.root
        if root is None or not self._demanded or root.call is None:
            return
        if not self._is_under_way(root):
            if self._planner.wait_for_authoritative(root.call.handler, now) is not None:
                return
            if root.call.effect is Effect.WRITE:
                self._invalidate(root.call)
            if root.run is not None:  # it was started ahead, and failed
                self._detach(root)
            self._begin(root, now, speculative=False)
            self._consider_asking(root)
        elif root.run is not None and root.run.speculative:
            self._planner.promoted(root.run)
            self._shadow(root, now)

    def _fill(self, now: float) -> bool:
        """Start what there are places for; whether anything was started."""
        if self.root is None:
            return False
        started = False
        while (node := self._planner.next(now)) is not None:
            assert node.call is not None
            if node is self.root:
                continue  # started by demand alone
            if not self._reaches(node) or self._waits_for_write(node):
                self._planner.postpone(node)
            elif not self._planner.is_worth_it(node.call, node.probability_from(self.root)):
                self._planner.postpone(node)
            else:
                self._begin(node, now, speculative=True)
                self._consider_asking(node)
                started = True
        orphans = self._reads.orphans()
        if orphans and self._planner.has_waiting:
            for run in orphans:
                self._reads.drop(run)
                self._cancel(run)
        return started

    def _waits_for_write(self, node: Node) -> bool:
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

    def _begin(self, node: Node, now: float, *, speculative: bool) -> None:
        assert node.call is not None and node.process is not None
        shared = self._reads.find(node.call, now)
        if shared is not None:
            node.run = shared
            shared.nodes.append(node)
            if not speculative:
                self._planner.promoted(shared)
            if shared.state is RunState.DONE:
                self._answered(node)
            return
        ahead = not all(ancestor.answered for ancestor in node.ancestors())
        run = Run(next(self._ids), node.call, node.process, speculative, now, ahead=ahead, nodes=[node])
        node.run = run
        self._launch(run)

    def _launch(self, run: Run) -> None:
        self._planner.started(run)
        self._runs.add(run)
        self._reads.add(run)
        self._commands.append(Start(run))

    def _shadow(self, node: Node, now: float) -> None:
        """Make the call of a loosely matched node with its true query too, now and then, to see what matching costs."""
        if not node.lossy or node.run is None or node.call is None or node.process is None:
            return
        self._num_loose += 1
        if self._num_loose % self._shadow_every == 0 and node.run.call != node.call:
            run = Run(next(self._ids), node.call, node.process, True, now, ahead=True, shadow_of=node.run)
            self._launch(run)

    def _end(self, run: Run, state: RunState, usage: Usage, now: float, response: Any = None) -> bool:
        """``run`` has returned. Whether anybody waited for it."""
        if not run.in_flight:
            raise ValueError(f"run {run.id} has already ended: it is {run.state.value}")
        wanted = run.state is RunState.RUNNING
        if state is RunState.DONE:
            run.response, run.key = response, _key(response)
        run.state = state if wanted else RunState.STOPPED
        run.ended_at, run.usage = now, usage
        self._runs.discard(run)
        self._planner.ended(run)
        if run.state is RunState.DONE:
            self._pace.called(run.call.handler, now - run.started_at)
        return wanted

    def _cancel(self, run: Run) -> None:
        if run.state is RunState.RUNNING:
            run.state = RunState.CANCELLED
            self._commands.append(Cancel(run))

    def _invalidate(self, write: Call) -> None:
        """Forget what ``write``, which begins now, may make stale; until it is done no such ``READ`` starts."""
        for run in self._reads.touched_by(write):
            if not run.nodes:
                self._cancel(run)

    def _root(self) -> Node:
        if self.root is None:
            raise ValueError("there is no episode; call rebase first")
        return self.root


def _is_new(named: set[Call], process: Process | None) -> bool:
    """Whether an action named for a side branch makes a read that no other one has made; notes it."""
    if process is None or process.call is None or process.call in named:
        return False
    named.add(process.call)
    return True


def _key(response: Any) -> Hashable:
    """The key of a response; one that has none is like no other."""
    try:
        return key_of(response)
    except TypeError:
        return ("object", id(response))


def _advance(node: Node, response: Any) -> Process | None:
    """The process after ``response``; ``None`` where the environment refuses it, as it may refuse a guess."""
    assert node.process is not None
    try:
        return node.process.advance(response)
    except Exception:
        # If this response turns out to be the real one, the real environment raises the same to the user.
        return None
