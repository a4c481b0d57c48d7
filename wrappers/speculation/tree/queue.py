"""The calls that could be started, ordered by expected gain.

The expected gain of a call is the probability of its path times the time that the call would save. A call saves about
as much time as it takes, and it occupies a slot for as long. So slots go to the most probable calls, also between
handlers of different speed. Other parts decide whether there is a slot, and whether a call may start at all.

Pure, like the tree that owns it.
"""

import heapq
import itertools
import math
from collections.abc import Callable

from spec_envs.wrappers.speculation.tree.nodes import DONE, Node

#: A node with its negative rank and its turn: the greatest rank comes first, and then the earliest turn.
_Entry = tuple[float, int, Node]


class Queue:
    """The nodes whose calls could be started, and the nodes that were put aside for now.

    Attributes:
        waiting: The nodes that wait for a slot, each with its rank and its turn.
    """

    def __init__(self) -> None:
        self._heaps: dict[str, list[_Entry]] = {}  # by handler
        self._new: list[_Entry] = []  # entries that are in no heap yet
        self.waiting: dict[Node, _Entry] = {}  # the one entry of each node that counts
        self._postponed: dict[Node, None] = {}
        self._counter = itertools.count()

    def add(self, node: Node) -> None:
        """Consider ``node`` for a start, at its present rank."""
        entry = self.waiting[node] = (-rank(node), next(self._counter), node)
        self._new.append(entry)

    def forget(self, node: Node) -> None:
        """Remove ``node``: its call has started, it has no call any more, or it was discarded."""
        self.waiting.pop(node, None)
        self._postponed.pop(node, None)

    def postpone(self, node: Node) -> None:
        """Put ``node`` aside until ``reconsider``: its call may not start now, whether there are free slots or not."""
        self.waiting.pop(node, None)
        self._postponed[node] = None

    def reconsider(self) -> None:
        """Consider the nodes again that were put aside: the root has moved, or a ``WRITE`` is done."""
        if not self._postponed:
            return
        postponed, self._postponed = self._postponed, {}
        for node in postponed:
            self.add(node)

    def best(self, has_room: Callable[[str, float], bool], now: float) -> tuple[Node, float] | None:
        """The node with the greatest rank of those whose handler ``has_room``, and its rank. It stays in the queue."""
        best: _Entry | None = None
        if len(self.waiting) == 1:  # most often there is nothing to sort
            [(node, entry)] = self.waiting.items()
            self._heaps, self._new = {}, [entry]
            assert node.call is not None
            return (node, -entry[0]) if has_room(node.call.handler, now) else None
        self._sort_in()
        for handler, heap in self._heaps.items():
            while heap and self.waiting.get(heap[0][2]) is not heap[0]:
                heapq.heappop(heap)
            if heap and (best is None or heap[0] < best) and has_room(handler, now):
                best = heap[0]
        return None if best is None else (best[2], -best[0])

    def _sort_in(self) -> None:
        for entry in self._new:
            call = entry[2].call
            if call is not None:
                heapq.heappush(self._heaps.setdefault(call.handler, []), entry)
        self._new.clear()


def rank(node: Node, *, probability: float = 1.0, behind: int = 0) -> float:
    """The logarithm of the expected gain of a call, as a share of the time that the call takes.

    The gain is the probability of the path times the share of the call that fits in before its response is needed. With
    ``d`` unanswered calls before it, all of one kind and with memoryless latencies, this share is d/(d+1) in the mean.

    Args:
        node: The node that makes the call, or a node before the call.
        probability: The probability of the path from ``node`` to the call.
        behind: How many calls come before the call, from ``node`` on.
    """
    score = node.score if probability == 1.0 else node.score + math.log(probability)
    return score + math.log(share_of(node, behind))


def share_of(node: Node, behind: int = 0) -> float:
    """The share of a call that fits in before its response is needed: of ``node``, or ``behind`` calls after it."""
    before, ancestor = behind, node.parent
    while ancestor is not None:
        run = ancestor.run
        if (run is None or run.state is not DONE) and ancestor.side_branch is None:
            before += 1
        ancestor = ancestor.parent
    before = max(1, before)
    return before / (before + 1)
