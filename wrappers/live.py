"""What ``LastWriteWins`` did to a live system: window by window, and in figures."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

__all__ = ["LiveStatistics", "LiveWindow", "Writer"]

Writer = Literal["tuner", "guesser", "nobody"]


@dataclasses.dataclass(frozen=True, slots=True)
class LiveWindow:
    """One step of the live system.

    Attributes:
        time_s: When it began, on the runtime's clock; ``seconds`` is how long it took.
        seconds: See ``time_s``.
        writer: Whose action it was: the "tuner"'s, the "guesser"'s, or "nobody"'s, where nothing new was set.
        action: What was set.
        reward: What came of it.
    """

    time_s: float
    seconds: float
    writer: Writer
    action: Any
    reward: float

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON, with ``lossy``: in a trace of ``SpeculativeWrapper`` no action is ever the guesser's."""
        return dataclasses.asdict(self) | {"lossy": self.writer == "guesser"}


@dataclasses.dataclass(frozen=True, slots=True)
class LiveStatistics:
    """What was done to the live system, over the life of a wrapper.

    Attributes:
        windows: Steps of the live system, those of ``reset`` not counted.
        answers: Steps that set what the tuner had answered.
        guesses: Steps that set what the guesser had guessed: this is what is lossy.
        agreed: Answers that equal the guess that they overwrote, or that was in force. They are compared as they are
            written: JSON text and a mapping differ.
        late: Guesses that came too late for their window, and were set in the next one.
        failed: Guesses that raised an error, named nothing, or could not be set; the setting then stayed.
    """

    windows: int = 0
    answers: int = 0
    guesses: int = 0
    agreed: int = 0
    late: int = 0
    failed: int = 0

    @property
    def lossy(self) -> bool:
        """Whether the live system had any setting that the tuner did not choose."""
        return self.guesses > 0

    def __str__(self) -> str:
        kind = "LOSSY, the last write wins" if self.lossy else "no guess was set"
        return (
            f"{kind}: {self.guesses} of {self.windows} windows as guessed, {self.answers} as the tuner said, "
            f"which agreed {self.agreed} times; {self.late} guesses late, {self.failed} failed"
        )
