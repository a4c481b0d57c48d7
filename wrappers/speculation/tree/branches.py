"""Which nodes there are: branches grow from guesses, settle on real responses, and go.

A branch whose own call is answered before its ancestors' knows its future: its wrong children go at once, and the right
one inherits its whole probability. A branch is matched by responses alone: by an equal guess, or because the real
response leads to the same next call.

When a node starts, is predicted or is answered is decided elsewhere. Pure, like the tree that owns it.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from spec_envs.guesses import Guess
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import Node, Process, Run, SideBranch

Canonical = Callable[[Any], Hashable]

#: The least probability that all guesses together keep that a guesser has taken back.
_LEAST_REST = 1e-3


@dataclasses.dataclass(slots=True)
class Change:
    """What has become of nodes, for the other parts of the tree to take account of."""

    grown: list[Node] = dataclasses.field(default_factory=list)  # new nodes
    #: Nodes that have another probability, or another process.
    changed: list[Node] = dataclasses.field(default_factory=list)
    gone: list[Node] = dataclasses.field(default_factory=list)  # nodes that were discarded, parents first


#: What most events change.
NO_CHANGE = Change()


class Branches:
    """The root and all that follows from it; the only writer of ``Node``.

    Args:
        limits: Bounds of the speculation.
        canonical: Looser matching, by handler.

    Attributes:
        root: Where the episode stands; ``None`` while there is none.
        num_nodes: Nodes alive.
    """

    def __init__(self, limits: Limits, canonical: Mapping[str, Canonical]) -> None:
        self.root: Node | None = None
        self.num_nodes = 0
        self._max_nodes = limits.max_nodes
        self._give_up_below = limits.give_up_below
        self._canonical = canonical
        self._ids = itertools.count()
        self._unexpanded: list[Node] = []
        self._change = Change()

    def _changes(self) -> Change:
        """What has changed since this was last called."""
        change = self._change
        if not (change.gone or change.grown or change.changed):
            return NO_CHANGE
        self._change = Change()
        return change

    # -- the root and its runs -----------------------------------------------------------------------------------

    def plant(self, process: Process | None) -> Change:
        """Put the root at ``process`` and discard every node; ``None``: there is no root."""
        if self.root is not None:
            self._discard(self.root)
        self._unexpanded.clear()
        self.root = None if process is None else self._node(None, None, 1.0, process)
        return self._changes()

    def commit(self, response: Any, key: Hashable) -> Change:
        """Move the root on to its child with ``response``; the old root is no longer alive, but not discarded."""
        root = self.root
        assert root is not None
        child = root.children.get(key)
        if child is not None and len(root.children) == 1 and root.answered:  # ``answer`` has settled on it
            root.hit = root.hit or key in (root.guessed or ())
        else:
            child = self._settle_on(root, response, key)
        root.children = {}
        root.alive = False
        self.num_nodes -= 1
        child.parent = None
        self.root = child
        if self._unexpanded:
            self._expand_again()
        return self._changes()

    def attach(self, node: Node, run: Run | None) -> None:
        """``run`` makes the call of ``node``; ``None``: it will be made again."""
        node.run = run

    # -- growing -------------------------------------------------------------------------------------------------

    def step_aside(self, node: Node) -> Change:
        """Give ``node`` a side branch, where that can be."""
        if node.aside is None and node.process is not None and self.num_nodes < self._max_nodes:
            process = node.process.aside()
            if process is not None:
                node.aside = self._node(node, None, 1.0, process)
                node.aside.side_branch = SideBranch()
        return self._changes()

    def add_guesses(self, node: Node, guesses: Mapping[Hashable, Guess]) -> Change:
        """Grow a child of ``node`` from each guess; dropped earlier guesses share what probability is left.

        A child that was started and falls below ``give_up_below`` is discarded whole, whether its call is done or not:
        if only calls in flight were given up, the draws that are used would be the quick ones.

        Args:
            node: Whose response is guessed.
            guesses: The guesses by their keys, the most probable first.
        """
        if not guesses:
            return self._changes()
        node.guessed = (node.guessed or frozenset()) | guesses.keys()
        likely = {key: guess for key, guess in guesses.items() if guess.probability > 0}
        others = [child for key, child in node.children.items() if key not in likely]
        total = sum(guess.probability for guess in likely.values())
        rest = max(_LEAST_REST, 1.0 - total) if others else 0.0
        # Of the reads guessed for a side branch, several may be needed.
        total = 1.0 if node.side_branch is not None else max(1.0, total + rest)
        for child in others:
            probability = min(child.probability, rest / len(others) / total)
            if not self._is_given_up(child, probability):
                self._rescore(child, probability)
        for key, guess in likely.items():
            if (probability := guess.probability / total) > 0:  # a tiny probability may become 0 here
                self._add_guess(node, key, guess.response, probability)
        return self._changes()

    def _is_given_up(self, child: Node, probability: float) -> bool:
        """Discard ``child`` if it was started and its path has now, with ``probability``, become too improbable."""
        assert child.parent is not None and self.root is not None
        path = child.parent.probability_from(self.root) * probability
        given_up = child.run is not None and path < self._give_up_below
        if given_up:
            self._discard(child)
        return given_up

    def _add_guess(self, node: Node, key: Hashable, response: Any, probability: float) -> None:
        child = node.children.get(key)
        if child is not None and not self._is_given_up(child, probability):
            self._rescore(child, probability)
        elif self.num_nodes < self._max_nodes:
            process = _advance(node, response)
            if node.side_branch is None or _is_new(node.side_branch, process):
                self._grow(node, key, response, probability, process)

    def _grow(self, parent: Node, key: Hashable, response: Any, probability: float, process: Process | None) -> Node:
        node = self._node(parent, response, probability, process)
        node.key, node.side_branch = key, parent.side_branch
        parent.children[key] = node
        return node

    def _node(self, parent: Node | None, response: Any, probability: float, process: Process | None) -> Node:
        score, level = (0.0, 0) if parent is None else (parent.score, parent.level + 1)
        if probability != 1.0:
            score += math.log(probability)
        self.num_nodes += 1
        node = Node(next(self._ids), parent, response, probability, process, score, level)
        self._change.grown.append(node)
        return node

    # -- settling on a real response -----------------------------------------------------------------------------

    def answer(self, node: Node) -> Change:
        """The real response to ``node``, given its branch, is known: keep the child that has it, and no other."""
        self._expand(node)
        return self._changes()

    def _expand(self, node: Node) -> None:
        assert node.run is not None
        if node.call is None:
            return
        if node.aside is not None:
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
        if len(node.children) > (child is not None):
            for other in tuple(node.children.values()):
                if other is not child:
                    self._discard(other)
        if node.aside is not None:
            self._drop_aside(node)
        if child is None:
            child = self._grow(node, key, response, 1.0, process)
        elif child.probability < 1.0:
            self._rescore(child, 1.0)
        node.children = {key: child}
        return child

    def _match(self, node: Node, response: Any, process: Process | None) -> Node | None:
        """The child that ``response`` leads to although it was not guessed: the same next call, or a loose match."""
        if process is None or not node.children or process.call is None:
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
        node.call = None if process is None else process.call
        self._change.changed.append(node)
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
            self._change.changed.append(descendant)

    # -- going ---------------------------------------------------------------------------------------------------

    def _drop_aside(self, node: Node) -> None:
        if node.aside is not None:
            self._discard(node.aside)
            node.aside = None

    def _discard(self, node: Node) -> None:
        if node.parent is not None:
            node.parent.children = {k: child for k, child in node.parent.children.items() if child is not node}
        for descendant in node.subtree():
            descendant.alive = False
            self._change.gone.append(descendant)
            self.num_nodes -= 1


def _is_new(side_branch: SideBranch, process: Process | None) -> bool:
    """Whether an action guessed for a side branch makes a call that is not made there yet; adds that call."""
    if process is None or process.call is None or process.call in side_branch.calls:
        return False
    side_branch.calls.add(process.call)
    return True


def _are_alike(response: Any, guessed: Any, canonical: Canonical) -> bool:
    """Whether a guess has the canonical form of the real response. A wild guess may have no form at all."""
    try:
        return bool(canonical(response) == canonical(guessed))
    except Exception:
        return False


def _advance(node: Node, response: Any) -> Process | None:
    """The process after ``response``; ``None`` where the environment refuses it, as it may refuse a guess."""
    if node.process is None:  # a loose match has led it to where the environment refused a response before
        return None
    try:
        return node.process.advance(response)
    except (Exception, SystemExit, GeneratorExit):
        # If this response turns out to be the real one, the real environment raises the same to the user.
        return None
