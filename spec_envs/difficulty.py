"""How hard a task is, in counts that can be checked."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard a task is. What each count counts depends on the environment; none is below 0.

    Attributes:
        hops: What has to be looked up: reads of a shop, or pages of a wiki.
        writes: What has to be changed.
        distractors: What can be taken for something that the task is about.
        negations: What must not be done, or is asked for by what it is not.
    """

    hops: int
    writes: int
    distractors: int
    negations: int
