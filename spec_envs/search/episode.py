"""An episode of ``SpecSearch-v0`` as an immutable value, and the episodes that follow from it by an action."""

from __future__ import annotations

import dataclasses
import json

from spec_envs.search.actions import Act, Mistake
from spec_envs.search.observations import excerpt, found_sentence, not_found, sentences_with
from spec_envs.search.pages import Fetched, Page
from spec_envs.search.questions import Question


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """The complete state of an episode.

    Attributes:
        question: The question to answer.
        page: The page that was found last, which ``lookup`` reads; ``None`` if no page was found yet.
        keyword: The keyword of the last ``lookup`` on this page; ``None`` if there was none.
        position: How many sentences with this keyword were shown.
        transcript: The actions and their results; each pair is one JSON text.
        observation: The result of the last action.
        steps: Number of actions taken.
        answer: The answer of the agent; ``None`` if the agent has not finished.
        outcome: "finish" or "max_steps" at the end; ``None`` before.
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
        """The episode after a malformed action."""
        return self._after(mistake, f"Invalid action: {mistake.reason}.")

    def found(self, act: Act, fetched: Fetched) -> Episode:
        """The episode after a search. If that found no page, or a disambiguation page, ``page`` stays as it was."""
        page = fetched.page
        if page is None:
            return self._after(act, not_found(act.argument, fetched.similar))
        if page.disambiguation:
            return self._after(act, not_found(f"[{act.argument}]", page.links))
        return self._after(act, excerpt(page), page=page, keyword=None, position=0)

    def looked_up(self, act: Act) -> Episode:
        """The episode after a lookup, which returns the next sentence of the page that contains the keyword."""
        position = self.position if act.argument == self.keyword else 0
        found = () if self.page is None else sentences_with(self.page, act.argument)
        seen = min(position + 1, len(found))
        return self._after(act, found_sentence(found, position), keyword=act.argument, position=seen)

    def finished(self, act: Act, reward: float) -> Episode:
        """The episode after an answer, which ends it."""
        text = f"Episode finished, reward = {reward:g}\n"
        return self._after(act, text, answer=act.argument, outcome="finish")

    def lines(self) -> list[str]:
        """The actions and their results, one line each, for people."""
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
