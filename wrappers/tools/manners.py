"""How a server may share its time among the calls that are in flight: one after the other, side by side, in parts."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Manner:
    """A way to share time among calls.

    Args:
        at_once: How many calls the server answers at once, those that came first; ``None``: any number.
        is_equal: Whether calls share the time of one, in equal parts, as threads share one processor.
    """

    at_once: int | None
    is_equal: bool = False

    def share(self, place: int, number: int) -> float:
        """The share of its time alone that the call at ``place`` (0: the first) gets, of a ``number`` of calls."""
        if self.is_equal:
            return 1.0 / number
        return 1.0 if self.at_once is None or place < self.at_once else 0.0


#: The manners that are told apart; the first one holds until another one has turned out to fit better.
MANNERS = (Manner(None), Manner(1), Manner(2), Manner(3), Manner(4), Manner(1, is_equal=True))
