"""An episode of ``SpecSearch-v0`` as an immutable value, and the episodes that follow from it by an action.

The results of actions have the same wording as in ReAct's Wikipedia environment (arXiv 2210.03629).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence

from spec_envs.search.actions import Act, Mistake
from spec_envs.search.pages import Fetched, Page
from spec_envs.search.questions import Question

#: The result of ``lookup`` after the last matching sentence.
NO_MORE_RESULTS = "No more results.\n"

#: How many sentences of a page, and how many similar titles, ``search`` shows.
_EXCERPT = 5
_SIMILAR = 5


def excerpt(page: Page) -> str:
    """The result of ``search`` when it finds a page: the first five sentences."""
    return " ".join(sentence for sentence, _ in zip(sentences(page), range(_EXCERPT), strict=False))


def sentences(page: Page) -> Iterator[str]:
    """The sentences of a page as ReAct cuts them: split at ". ", with a full stop added to each.

    So the last sentence of a paragraph ends with two full stops. Paragraphs of one or two words are left out.
    """
    for paragraph in page.paragraphs:
        if len(paragraph.split(" ")) > 2:
            for line in paragraph.split("\n"):
                yield from (f"{part.strip()}." for part in line.strip().split(". ") if part.strip())


def sentences_with(page: Page, keyword: str) -> tuple[str, ...]:
    """The sentences that contain ``keyword``, in upper or lower case."""
    keyword = keyword.lower()
    return tuple(sentence for sentence in sentences(page) if keyword in sentence.lower())


def found_sentence(found: Sequence[str], position: int) -> str:
    """The result of the ``position``-th ``lookup`` (from 0) of a keyword that the sentences ``found`` contain."""
    if position >= len(found):
        return NO_MORE_RESULTS
    return f"(Result {position + 1} / {len(found)}) {found[position]}"


def not_found(text: str, similar: Sequence[str]) -> str:
    """The result of ``search`` when there is no page called ``text``."""
    return f"Could not find {text}. Similar: {list(similar[:_SIMILAR])}."


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """The complete state of an episode."""

    question: Question  # the question to answer
    observation: str  # the result of the last action
    page: Page | None = None  # the page that was found last, which ``lookup`` reads; ``None`` if no page was found yet
    keyword: str | None = None  # the keyword of the last ``lookup`` on this page; ``None`` if there was none
    position: int = 0  # how many sentences with this keyword were shown
    transcript: tuple[str, ...] = ()  # the actions and their results; each pair is one JSON text
    steps: int = 0  # number of actions taken
    answer: str | None = None  # the answer of the agent; ``None`` if the agent has not finished
    outcome: str | None = None  # "finish" or "max_steps" at the end; ``None`` before

    def mistaken(self, mistake: Mistake) -> Episode:
        """The episode after a malformed action."""
        return self._after(mistake, f"Invalid action: {mistake.reason}.")

    def found(self, act: Act, fetched: Fetched) -> Episode:
        """The episode after a search. ``page`` changes only if the search found a page, and no disambiguation page."""
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
