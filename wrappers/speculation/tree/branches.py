"""Which nodes there are: branches grow from guesses, settle on real responses, and are discarded.

If the call of a branch is answered before the calls of its ancestors, the wrong children of the branch are discarded at
once, and the right child inherits the whole probability of the branch. The right child is the child whose guess equals
the real response, or else a child to whose next call the real response leads, too.

Other parts decide when a node's call starts and when its response is predicted. Pure, like the tree that owns it.
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

#: The least probability of all dropped guesses together: guesses that a guesser made before, and did not repeat.
_LEAST_REST = 1e-3


@dataclasses.dataclass(slots=True)
class Change:
    """What has become of nodes. The other parts of the tree are told."""

    grown: list[Node] = dataclasses.field(default_factory=list)  # new nodes
    #: Nodes whose probability or process has changed.
    changed: list[Node] = dataclasses.field(default_factory=list)
    gone: list[Node] = dataclasses.field(default_factory=list)  # nodes that were discarded, parents first


#: What most events change.
NO_CHANGE = Change()


class Branches:
    """The root and all nodes after it; the only writer of ``Node``.

    Args:
        limits: Bounds of the speculation.
        canonical: Looser matching, by handler.

    Attributes:
        root: Where the episode stands; ``None`` while there is none.
        num_nodes: The number of nodes that are part of the tree.
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
        """What has changed since the last call of this method."""
        change = self._change
        if change.grown or change.gone or change.changed:
            self._change = Change()
            return change
        return NO_CHANGE

    # -- the root and its runs -----------------------------------------------------------------------------------

    def plant(self, process: Process | None) -> Change:
        """Put the root at ``process`` and discard every node; ``None``: there is no root."""
        if self.root is not None:
            self._discard(self.root)
        self._unexpanded.clear()
        self.root = None if process is None else self._node(None, None, 1.0, process)
        return self._changes()

    def commit(self, response: Any, key: Hashable) -> Change:
        """Move the root on to its child with ``response``. The old root leaves the tree without being discarded."""
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
        """``run`` makes the call of ``node``; ``None``: the call will be made again."""
        node.run = run

    # -- growing -------------------------------------------------------------------------------------------------

    def step_aside(self, node: Node) -> Change:
        """Give ``node`` a side branch, if its process can have one."""
        if node.aside is None and node.process is not None and self.num_nodes < self._max_nodes:
            process = node.process.aside()
            if process is not None:
                node.aside = self._node(node, None, 1.0, process)
                node.aside.side_branch = SideBranch()
        return self._changes()

    def add_guesses(self, node: Node, guesses: Mapping[Hashable, Guess]) -> Change:
        """Grow a child of ``node`` from each guess. Earlier guesses that were dropped share the remaining probability.

        A child that was started and falls below ``give_up_below`` is discarded, with all nodes after it, whether its
        call is done or not. If only calls in flight were given up, mostly quick draws would be used.

        Args:
            node: The node whose response is guessed.
            guesses: The guesses by their keys, the most probable first.
        """
        if not guesses:
            return self._changes()
        node.guessed = (node.guessed or frozenset()) | guesses.keys()
        likely = {key: guess for key, guess in guesses.items() if guess.probability > 0}
        others = [child for key, child in node.children.items() if key not in likely]
        total = sum(guess.probability for guess in likely.values())
        rest = max(_LEAST_REST, 1.0 - total) if others else 0.0
        # On a side branch several of the guessed actions may be needed, so their probabilities need not sum to 1.
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
        """Discard ``child`` if it was started and ``probability`` makes its path too improbable; return whether."""
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
        """The response to the call of ``node`` is known: keep the child that has this response, and no other child."""
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
        """Make the child that has ``response`` the only child of ``node``, with the whole probability of ``node``."""
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
        """The child that fits ``response``, which was not guessed: by the same next call, or by a loose match."""
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
        """Give ``node`` the process after the real response, and advance this process for the descendants."""
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
    """Whether ``process`` waits for a call that the side branch does not make yet; if so, add the call."""
    if process is None or process.call is None or process.call in side_branch.calls:
        return False
    side_branch.calls.add(process.call)
    return True


def _are_alike(response: Any, guessed: Any, canonical: Canonical) -> bool:
    """Whether a guess has the canonical form of the real response. ``canonical`` may raise for a wild guess."""
    try:
        return bool(canonical(response) == canonical(guessed))
    except Exception:
        return False


def _advance(node: Node, response: Any) -> Process | None:
    """The process after ``response``; ``None`` if the environment refuses the response, as it may refuse a guess."""
    if node.process is None:  # after a loose match, the environment has refused the response before this one
        return None
    try:
        return node.process.advance(response)
    except (Exception, SystemExit, GeneratorExit):
        # If this response turns out to be real, the real environment raises the same error to the user.
        return None
