"""The facts in an observation of ``SpecSearch-v0``: the question, the actions so far, and their results."""

import ast
import dataclasses
import json
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

from spec_envs.agents.search.spans import Span, clean, spans_of, words_of
from spec_envs.search.actions import Act, read_action

_SIMILAR = re.compile(r"Could not find .*?\. Similar: (\[.*\])\.?\s*$", re.DOTALL)


def similar_titles(observation: str) -> tuple[str, ...] | None:
    """Return the titles that a search offers instead of a page; ``None`` if ``observation`` is anything else."""
    match = _SIMILAR.match(observation)
    if match is None:
        return None
    try:
        return tuple(map(str, ast.literal_eval(match[1])))
    except (SyntaxError, ValueError):
        return ()


_FOUND = re.compile(r"\(Result \d+ / \d+\) ")
_YES_NO = frozenset("are is was were do does did have has had can could both".split())
#: Endings of words, the longer ones first.
_ENDINGS = tuple("ations ation ments ment ings ing ers ors ies ed er or es s e".split())
#: Words that carry no information about a question's subject.
STOP_WORDS = frozenset(
    """a about after all along also an and any are as at be been before between both but by can could did do does
    during for from had has have he her him his how i in into is it its known many more most much name named not of on
    one or other out she since so some than that the their them then there these they this those to until up was
    were what when where which while who whom whose why will with would you s""".split()
)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """An action and its result: ``kind`` is "page", "missing", "sentence", "nothing" or "mistake"."""

    act: Act | None
    text: str
    kind: str
    similar: tuple[str, ...] = ()


class Situation:
    """The state of an episode, read from an observation.

    Raises:
        KeyError, ValueError: ``observation`` is not a ``SpecSearch-v0`` observation.
    """

    def __init__(self, observation: Mapping[str, Any]) -> None:
        self.question = clean(str(observation["question"]))
        self.steps = tuple(_step(entry) for entry in json.loads(str(observation["transcript"])))
        self.acts = tuple(step.act for step in self.steps if step.act is not None)
        self.searched = {act.argument.lower() for act in self.acts if act.name == "search"}

    @property
    def last(self) -> Step | None:
        """The last step, or ``None`` at the start."""
        return self.steps[-1] if self.steps else None

    @property
    def phase(self) -> str:
        """The kind of the last step, or "start"."""
        return self.steps[-1].kind if self.steps else "start"

    @cached_property
    def pages(self) -> tuple[Step, ...]:
        """The pages that were found, latest first. A page that was found twice counts once."""
        found = {step.text: step for step in reversed(self.steps) if step.kind == "page"}
        return tuple(found.values())

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The names and figures in the question."""
        return spans_of(self.question)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of the question, each once, without ``STOP_WORDS``."""
        return tuple(dict.fromkeys(word for word in words_of(self.question) if word not in STOP_WORDS))

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The stems of ``words``."""
        return frozenset(map(stem, self.words))

    @cached_property
    def form(self) -> str:
        """The kind of answer that is wanted: "yesno", "choice", "when", "who", "where", "number", or "what"."""
        words = words_of(self.question)
        if " or " in self.question and (set(words) & {"which", "who", "or"}):
            return "choice"
        if words and words[0] in _YES_NO:
            return "yesno"
        line = f" {' '.join(words)} "
        for form, signs in _FORMS:
            if any(f" {sign} " in line for sign in signs):
                return form
        return "what"


_FORMS = (
    ("when", ("when", "what year", "which year", "year", "what date")),
    ("number", ("how many", "how much", "how long", "population", "what number")),
    (
        "where",
        ("where", "what country", "which country", "what city", "which city", "what town", "what state", "located"),
    ),
    ("who", ("who", "whom", "whose", "what actor", "which actor", "what actress", "which author", "what author")),
)


@lru_cache(maxsize=1 << 14)  # called again and again for the words of a page
def stem(word: str) -> str:
    """Return a word without its ending, roughly: "founded" and "founder" have the same stem."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _step(entry: Mapping[str, str]) -> Step:
    act = read_action(entry["action"])
    text = entry["observation"]
    found = act if isinstance(act, Act) else None
    if found is None:
        return Step(None, text, "mistake")
    if found.name == "lookup":
        return Step(found, clean(_FOUND.sub("", text)), "sentence" if _FOUND.match(text) else "nothing")
    similar = similar_titles(text)
    if similar is not None:
        return Step(found, "", "missing", similar)
    return Step(found, clean(text), "page")
