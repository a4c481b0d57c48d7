"""An episode of ``SpecSearch-v0`` as an immutable value, and what becomes of it by an action."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from spec_envs.search.actions import Act
from spec_envs.search.observations import excerpt, found_sentence, not_found, sentences_with

if TYPE_CHECKING:
    from spec_envs.search.actions import Mistake
    from spec_envs.search.corpus.pages import Fetched, Page
    from spec_envs.search.questions import Question

__all__ = ["Episode"]


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """All of an episode.

    Attributes:
        question: What is to be answered.
        page: The page found last, which ``lookup`` reads.
        keyword: What was looked up last on this page; ``None`` before.
        position: How often it was looked up.
        transcript: Actions and what they returned, each pair as JSON text.
        observation: What the last action returned.
        steps: Actions taken.
        answer: What the agent finished with; ``None`` before.
        outcome: ``None``, "finish" or "max_steps".
    """

    question: Question
    observation: str
    page: Page | None = None
    keyword: str | None = None
    position: int = 0
    transcript: tuple[str, ...] = ()
    steps: int = 0
    answer: str | None = None
    outcome: str | None = None

    def mistaken(self, mistake: Mistake) -> Episode:
        """After an action that was not understood."""
        return self._after(mistake, f"Invalid action: {mistake.reason}.")

    def found(self, act: Act, fetched: Fetched) -> Episode:
        """After a search. One that finds no page, or only what a name may mean, leaves the page as it was."""
        page = fetched.page
        if page is None:
            return self._after(act, not_found(act.argument, fetched.similar))
        if page.disambiguation:
            return self._after(act, not_found(f"[{act.argument}]", page.links))
        return self._after(act, excerpt(page), page=page, keyword=None, position=0)

    def looked_up(self, act: Act) -> Episode:
        """After a lookup: the next sentence of the page with the keyword."""
        position = self.position if act.argument == self.keyword else 0
        found = () if self.page is None else sentences_with(self.page, act.argument)
        seen = min(position + 1, len(found))
        return self._after(act, found_sentence(found, position), keyword=act.argument, position=seen)

    def finished(self, act: Act, reward: float) -> Episode:
        """After an answer."""
        text = f"Episode finished, reward = {reward:g}\n"
        return self._after(act, text, answer=act.argument, outcome="finish")

    def lines(self) -> list[str]:
        """Actions and what they returned, a line each."""
        entries = map(json.loads, self.transcript)
        return [line for entry in entries for line in (entry["action"], f"  {entry['observation'].strip()}")]

    def _after(self, act: Act | Mistake, observation: str, **changes: object) -> Episode:
        entry = {"action": str(act), "observation": observation}
        if isinstance(act, Act) and act.thought:
            entry["thought"] = act.thought
        return dataclasses.replace(
            self,
            observation=observation,
            transcript=(*self.transcript, json.dumps(entry)),
            steps=self.steps + 1,
            **changes,  # type: ignore[arg-type]
        )
