"""The queueing disciplines of servers: how a server shares its time among the calls that are in flight."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Discipline:
    """A queueing discipline: first come, first served, by some number of calls at once; or processor sharing.

    Args:
        at_once: How many calls the server answers at once, those that came first (>= 1); ``None``: any number.
        is_equal: Whether it is processor sharing: all calls get equal parts of the time of one, as threads do on one
            processor.
    """

    at_once: int | None
    is_equal: bool = False

    def share(self, place: int, number: int) -> float:
        """The share of its time alone (0 to 1) that the call at ``place`` (0: the first) gets among a ``number``."""
        if self.is_equal:
            return 1.0 / number
        return 1.0 if self.at_once is None or place < self.at_once else 0.0


#: The disciplines that are told apart; the first one holds until another one has turned out to fit better.
DISCIPLINES = (
    Discipline(None),
    Discipline(1),
    Discipline(2),
    Discipline(3),
    Discipline(4),
    Discipline(1, is_equal=True),
)
