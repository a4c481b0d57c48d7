"""``ReplyGuesser``: a user's next message, learned from the replies of users to similar messages."""

import dataclasses
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spec_envs import Call, Guess
from spec_envs.agents.pattern import text as texts
from spec_envs.agents.recent import Recent
from spec_envs.checks import positive
from spec_envs.pickling import Lock

_CONFIRM = re.compile(r"\bconfirm|\bproceed\b|\bgo ahead\b|\byes/no\b|\bshall i\b|\bshould i\b", re.IGNORECASE)
_QUESTION = re.compile(r"(?<![^.?!\n])[^.?!\n]*+\?")  # tried where a sentence begins, and nowhere else
_MASKED = frozenset({"email", "date", "id", "number", "digits", "quoted"})
#: The number of replies to one kind of message that are considered: the most frequent ones.
_MAX_REPLIES = 50
#: The placeholder in a template for a value that was said before. No message holds this character.
_GAP = "\x00"
#: The placeholder in a template for a value that nobody had said before.
_UNKNOWN = "\x01"

#: A reply with gaps for values that were said before, and for each gap the place of its value.
Template = tuple[str, tuple["Place", ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The place of a value in a dialogue: the message, the kind of value, and its number among values of this kind.

    ``message`` is -1 for the message to be answered, -2 for the message before, and so on, and 1 for the user's first
    message.
    """

    message: int
    kind: str
    number: int


class ReplyGuesser:
    """Guesses the next message of a user from the dialogue alone.

    The guesser counts the replies that followed similar messages. There are four levels of similarity: messages that
    are equal except for ids and numbers, messages with the same questions, messages with the same last question, and
    any messages. In a reply, an id or number that was said before is replaced by a reference to its place, so that
    replies can be used for other users. A reply with an id or number that nobody has said cannot be guessed, but has
    its share of the probability. This user's earlier replies to equal messages count too. After a question for
    confirmation, "Yes." is guessed even if it was never learned. Thread-safe.

    Args:
        said: ``said(query)`` returns the dialogue in a query: alternating messages, the first one not the user's, the
            last one to be answered. Default: the query's attribute ``said``, as in a ``CustomerQuery`` of
            ``SpecRetail-v0``. The rest of the query is ignored, because an agent does not know it.
        strength: The weight of the replies to less similar messages, as a number of observations (> 0).
        capacity: The number of kinds of messages remembered. The least recently used kind is forgotten first.
    """

    def __init__(
        self,
        *,
        said: Callable[[Any], Sequence[str]] | None = None,
        strength: float = 1.0,
        capacity: int = 10_000,
    ) -> None:
        self._said = said or operator.attrgetter("said")
        self._strength = positive("strength", strength)
        self._lock = Lock()
        self._replies: Recent[Counter[Template]] = Recent(capacity)

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return at most ``k`` guesses, most likely first."""
        said = tuple(self._said(call.query))
        with self._lock:
            shares = self._shares(said)
        found: Counter[str] = Counter()
        for template, share in shares.items():
            reply = _filled(template, said)
            if reply is not None:
                found[reply] += share  # type: ignore[assignment]
        return [Guess(reply, min(1.0, share)) for reply, share in found.most_common(k)]

    def observe(self, call: Call, response: Any) -> None:
        """Learn the user's real reply."""
        if isinstance(response, str):
            self.learn([(*self._said(call.query), response)])

    def learn(self, dialogues: Iterable[Sequence[str]]) -> None:
        """Learn the last message of each dialogue as the reply to the messages before."""
        with self._lock:
            for said in dialogues:
                template = _template(said[-1], said[:-1])
                for kind in _kinds(said[-2]):
                    self._replies.get_or_make(kind, Counter)[template] += 1

    def _shares(self, said: Sequence[str]) -> dict[Template, float]:
        """Return the probability of each reply: its share of the counts, with less similar messages as the prior."""
        shares: dict[Template, float] = {}
        *general, exact = reversed(list(_kinds(said[-1])))
        for kind in general:
            shares = self._mixed(self._replies.get(kind) or Counter(), shares)
        if _CONFIRM.search(said[-1]):
            shares = self._mixed(Counter({("Yes.", ()): 1}), shares)
        counts = Counter(self._replies.get(exact) or ())
        counts.update(_own_replies(said, exact))
        return self._mixed(counts, shares)

    def _mixed(self, counts: Counter[Template], prior: dict[Template, float]) -> dict[Template, float]:
        total = counts.total() + self._strength
        counts = Counter(dict(counts.most_common(_MAX_REPLIES)))
        return {
            template: (counts[template] + self._strength * prior.get(template, 0.0)) / total
            for template in (*counts, *(each for each in prior if each not in counts))
        }


def normalised(text: str) -> str:
    """Return a looser form of a message, for ``canonical={"user": normalised}``: words in lower case, single spaces.

    **Lossy**: a guess then counts as right even if it differs from the real message in case, punctuation or spacing.
    The agent's next action is the one that it chose after the guess, while its dialogue shows the real message. This is
    harmless for an agent that ignores case, punctuation and spacing. ``statistics.shadow_differences`` counts the
    checked actions that the real message would have changed.
    """
    return " ".join(re.findall(r"\w+(?:['.@#-]\w+)*|###\w+###", text.lower()))


def _kinds(message: str) -> Iterator[str]:
    """Yield the kinds of a message, most specific first: its text, its questions, its last question, any message."""
    masked = _masked(message)
    yield f"message {masked}"
    questions = _QUESTION.findall(masked)
    yield f"questions {' '.join(each.strip() for each in questions)}"
    yield f"question {questions[-1].strip() if questions else ''}"
    yield "any"


def _masked(message: str) -> str:
    """Return the message with gaps for ids, numbers and similar values."""
    return _replaced(message, [_GAP for _ in _values(message)])


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class _Value:
    """An id, number or similar value in a message, with its position."""

    start: int
    value: str
    kind: str


def _values(message: str) -> list[_Value]:
    """Return all values in a message; of overlapping values only the longest."""
    taken = bytearray(len(message))
    found = []
    entities = {str(each.value): each.kind for each in texts.read(message).entities if each.kind in _MASKED}
    for value, kind in sorted(entities.items(), key=lambda item: -len(item[0])):
        start = message.find(value)
        while start >= 0:
            end = start + len(value)
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * len(value)
                found.append(_Value(start, value, kind))
            start = message.find(value, end)
    return sorted(found)


def _replaced(message: str, others: Sequence[str]) -> str:
    """Return the message with ``others`` in place of its values."""
    parts, end = [], 0
    for each, other in zip(_values(message), others, strict=True):
        parts += [message[end : each.start], other]
        end = each.start + len(each.value)
    return "".join((*parts, message[end:]))


def _template(reply: str, said: Sequence[str]) -> Template:
    known = dict(reversed(list(_places(said))))  # the latest place of each value, which comes first
    values = [each.value for each in _values(reply)]
    text = _replaced(reply, [_GAP if value in known else _UNKNOWN for value in values])
    return text, tuple(known[value] for value in values if value in known)


def _places(said: Sequence[str]) -> Iterator[tuple[str, Place]]:
    """Yield every value in the dialogue with its place, latest message first."""
    for back, message in enumerate(reversed(said), start=1):
        numbers: Counter[str] = Counter()
        for each in _values(message):
            numbers[each.kind] += 1
            where = 1 if back == len(said) - 1 else -back
            yield each.value, Place(where, each.kind, numbers[each.kind])


def _filled(template: Template, said: Sequence[str]) -> str | None:
    """Return the reply for which a template stands in this dialogue; ``None`` if a value is missing."""
    reply, places = template
    if _UNKNOWN in reply:
        return None
    if not places:
        return reply
    values = {place: value for value, place in _places(said)}
    for place in places:
        if place not in values:
            return None
        reply = reply.replace(_GAP, values[place], 1)
    return reply


def _own_replies(said: Sequence[str], kind: str) -> Iterator[Template]:
    """Yield the replies that this user has already given to messages of the same ``kind``, unchanged."""
    for place in range(1, len(said) - 1, 2):
        if next(_kinds(said[place - 1])) == kind:
            yield said[place], ()
