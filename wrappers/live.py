"""What ``LastWriteWins`` has done to a live system: a record of each window, and counts."""

import dataclasses
from typing import Any, Literal

__all__ = ["LiveStatistics", "LiveWindow", "Writer"]

Writer = Literal["tuner", "guesser", "nobody"]


@dataclasses.dataclass(frozen=True, slots=True)
class LiveWindow:
    """One step of the live system.

    Attributes:
        time_s: When the step began, on the runtime's clock.
        seconds: How long the step took.
        writer: Whose action was set: that of the "tuner", of the "guesser", or of "nobody" if nothing new was set.
        action: The action of the step.
        reward: The reward of the step.
    """

    time_s: float
    seconds: float
    writer: Writer
    action: Any
    reward: float

    def as_dict(self) -> dict[str, Any]:
        """Return the window as a dict for JSON, with ``lossy``: whether the action was the guesser's."""
        return dataclasses.asdict(self) | {"lossy": self.writer == "guesser"}


@dataclasses.dataclass(frozen=True, slots=True)
class LiveStatistics:
    """Counts over the life of a wrapper.

    Attributes:
        windows: Steps of the live system.
        answers: Steps that set an answer of the tuner.
        guesses: Steps that set a guess; these make the episode lossy.
        agreed: Answers that equal the last guess that was set. JSON text and a mapping count as different.
        late: Guesses that came too late for their window, and were set in the next window.
        failed: Guesses that raised an error, were empty, or could not be set; the setting then stayed.
    """

    windows: int = 0
    answers: int = 0
    guesses: int = 0
    agreed: int = 0
    late: int = 0
    failed: int = 0

    @property
    def lossy(self) -> bool:
        """Whether the live system ever had a setting that the tuner did not choose."""
        return self.guesses > 0

    def __str__(self) -> str:
        kind = "LOSSY, the last write wins" if self.lossy else "no guess was set"
        return (
            f"{kind}: {self.guesses} of {self.windows} windows as guessed, {self.answers} as the tuner said, "
            f"which agreed {self.agreed} times; {self.late} guesses late, {self.failed} failed"
        )
