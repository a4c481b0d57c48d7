"""The branches of the tree: how they grow from guesses, settle on real responses, and go.

A branch whose own call is answered before its ancestors' knows its future: its wrong children go at once, and the right
one inherits its whole probability. A branch is matched by responses alone: by an equal guess, or because the real
response leads to the same next call.

Pure, like the tree that owns it. When a node may start, be guessed or be answered is decided elsewhere (``planner``,
``asking``, ``tree``); here is only said which nodes there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.calls import Call, Effect
from spec_envs.guesses import Guess
from spec_envs.wrappers.speculation.tree.nodes import Command, Committed, Discarded, Node, Process, response_key

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.tree.asking import Asking
    from spec_envs.wrappers.speculation.tree.planner import Planner
    from spec_envs.wrappers.speculation.tree.runs import Runs

Canonical = Callable[[Any], Hashable]

#: What is left, at least and together, for guesses that a guesser has taken back.
_LEAST_REST = 1e-3


class Branches:
    """The root and all that follows from it; issues ``Committed`` and ``Discarded``.

    A new node is offered to the ``planner``, and to be guessed (``asking``) once it may be; a node that goes lets go of
    its run.
    """

    def __init__(
        self,
        max_nodes: int,
        planner: Planner,
        runs: Runs,
        asking: Asking,
        commands: list[Command],
        *,
        guessable: Container[str],
        prefetching: Container[str],
        canonical: Mapping[str, Canonical],
    ) -> None:
        self.root: Node | None = None
        self.num_nodes = 0
        self._max_nodes = max_nodes
        self._planner = planner
        self._runs = runs
        self._asking = asking
        self._commands = commands
        self._guessable = guessable
        self._prefetching = prefetching
        self._canonical = canonical
        self._ids = itertools.count()
        self._unexpanded: list[Node] = []

    # -- the root ------------------------------------------------------------------------------------------------

    def plant(self, process: Process | None) -> None:
        """Put the root at ``process`` and discard every node; ``None``: there is no root."""
        if self.root is not None:
            self._discard(self.root)
        self._unexpanded.clear()
        self.root = None if process is None else self._node(None, None, 1.0, process)
        if self.root is not None:
            self.foresee(self.root)

    def commit(self, response: Any) -> None:
        """Move the root on to its child with ``response``."""
        root = self.root
        assert root is not None
        key = response_key(response)
        used = root.run is not None and root.answered and (root.run.response is response or root.run.key == key)
        child = self._settle_on(root, response, key)
        root.children = {}
        self._leave(root)
        child.parent = None
        self.root = child
        self._commands.append(Committed(root, child, response, used))
        self._planner.reconsider()
        self._expand_again()
        self.foresee(child)

    # -- growing -------------------------------------------------------------------------------------------------

    def foresee(self, node: Node) -> None:
        """Have ``node`` guessed, once its own call is under way, or if that is not ours to make (yet)."""
        call = node.call
        if call is None or node.asked or node.answered:
            return
        if node.named is not None:
            if call.effect is Effect.WRITE:  # where the side branch waits for an action; its reads are not guessed
                self._asking.add(node)
        elif node is self.root or node.run is not None or not self._planner.is_startable(call):
            if call.handler in self._guessable and not node.unasked:
                self._asking.add(node)
            if call.handler in self._prefetching:
                self._step_aside(node)

    def _step_aside(self, node: Node) -> None:
        """Give ``node`` a side branch, and have actions named for it."""
        if node.aside is not None or node.process is None or self.num_nodes >= self._max_nodes:
            return
        process = node.process.aside()
        if process is not None:
            node.aside = self._node(node, None, 1.0, process)
            node.aside.named = set()
            self.foresee(node.aside)

    def add_guesses(self, node: Node, guesses: Sequence[Guess]) -> None:
        """Grow a child of ``node`` from each guess; what was guessed before, and is not any more, shares the rest."""
        if not guesses:
            return
        merged: dict[Hashable, Guess] = {}
        for guess in guesses:
            key = response_key(guess.response)
            known = merged.get(key)
            merged[key] = (
                guess if known is None else Guess(known.response, min(1.0, known.probability + guess.probability))
            )
        node.guessed = (node.guessed or frozenset()) | merged.keys()
        named = {key: guess for key, guess in merged.items() if guess.probability > 0}
        others = [child for key, child in node.children.items() if key not in named]
        total = sum(guess.probability for guess in merged.values())
        rest = max(_LEAST_REST, 1.0 - total) if others else 0.0
        # Of the reads named for a side branch, several may be needed.
        total = 1.0 if node.named is not None else max(1.0, total + rest)
        for child in others:
            self._rescore(child, min(child.probability, rest / len(others) / total))
        for key, guess in sorted(named.items(), key=lambda item: -item[1].probability):
            if (probability := guess.probability / total) > 0:  # the least of numbers may vanish here
                self._add_guess(node, key, guess.response, probability)

    def _add_guess(self, node: Node, key: Hashable, response: Any, probability: float) -> None:
        child = node.children.get(key)
        if child is not None:
            self._rescore(child, probability)
        elif self.num_nodes < self._max_nodes:
            process = _advance(node, response)
            if node.named is None or _is_new(node.named, process):
                self._grow(node, key, response, probability, process)

    def _grow(self, parent: Node, key: Hashable, response: Any, probability: float, process: Process | None) -> Node:
        node = self._node(parent, response, probability, process)
        node.named = parent.named
        parent.children[key] = node
        if node.call is not None:
            self._planner.enqueue(node)
            self.foresee(node)
        return node

    def _node(self, parent: Node | None, response: Any, probability: float, process: Process | None) -> Node:
        score = (parent.score if parent else 0.0) + math.log(probability)
        level = parent.level + 1 if parent else 0
        self.num_nodes += 1
        return Node(next(self._ids), parent, response, probability, process, score, level)

    # -- settling on a real response -----------------------------------------------------------------------------

    def answered(self, node: Node) -> None:
        """The real response of ``node``, given its branch, is known: keep the child that has it, and no other."""
        assert node.run is not None
        self._asking.drop(node)
        if node.run.call.effect is Effect.WRITE:
            self._planner.reconsider()
        self._expand(node)

    def _expand(self, node: Node) -> None:
        assert node.run is not None
        if node.call is None:
            return
        self._drop_aside(node)
        if node is not self.root and not node.children and self.num_nodes >= self._max_nodes:
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
        for child in node.children.values():
            if child.call is not None and _are_alike(response, child.response, canonical):
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
            if descendant.run is None and descendant.call is not None:
                self._planner.enqueue(descendant)

    # -- going ---------------------------------------------------------------------------------------------------

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
        self._asking.drop(node)
        if node.run is not None:
            self._runs.let_go(node)


def _is_new(named: set[Call], process: Process | None) -> bool:
    """Whether an action named for a side branch makes a read that no other one has made; notes it."""
    if process is None or process.call is None or process.call in named:
        return False
    named.add(process.call)
    return True


def _are_alike(response: Any, guessed: Any, canonical: Canonical) -> bool:
    """Whether a guess has the canonical form of the real response. A wild guess may have no form at all."""
    try:
        return bool(canonical(response) == canonical(guessed))
    except Exception:
        return False


def _advance(node: Node, response: Any) -> Process | None:
    """The process after ``response``; ``None`` where the environment refuses it, as it may refuse a guess."""
    assert node.process is not None
    try:
        return node.process.advance(response)
    except Exception:
        # If this response turns out to be the real one, the real environment raises the same to the user.
        return None
