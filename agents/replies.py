"""``ReplyGuesser``: what a user says next, learned from what users have said to such messages before."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spec_envs.agents.pattern import text as texts
from spec_envs.agents.recent import Recent
from spec_envs.calls import Call
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess

_CONFIRM = re.compile(r"\bconfirm|\bproceed\b|\bgo ahead\b|\byes/no\b|\bshall i\b|\bshould i\b", re.IGNORECASE)
_QUESTION = re.compile(r"[^.?!\n]*\?")
_MASKED = frozenset({"email", "date", "id", "number", "digits", "quoted"})
#: Replies to one kind of message that are considered: the most frequent.
_MAX_REPLIES = 50
#: Stands in a template for what was said before; no message holds it.
_GAP = "\x00"
#: The same for what nobody had said.
_UNKNOWN = "\x01"

#: A reply in which what was said before is a gap, and for each gap where it was said.
Template = tuple[str, tuple["Place", ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where in a dialogue something was said: in which message, and as the how-many-th thing of its kind.

    ``message`` is -1 for the message that is answered, -2 for the one before it, and so on; 1 for the user's first.
    """

    message: int
    kind: str
    number: int


class ReplyGuesser:
    """Guesses the next message of a user from the dialogue alone.

    Counts which replies followed a message like the last one: the same but for ids, numbers and the like; else one with
    the same question; else any. In a reply, an id or number that was said before counts as a reference to where it was
    said, so that what is learned holds for other users; a reply that holds one which nobody has said cannot be guessed,
    and takes its share of the probability. What this user has replied to such a message earlier in the dialogue counts
    for more, and after a question for confirmation "Yes." is possible without having been learned. Thread-safe.

    Args:
        said: What turns a query into the dialogue: messages in turns, the first one not the user's and the last one to
            be answered. Default: the query's attribute ``said``, as a ``CustomerQuery`` of ``SpecRetail-v0`` has it;
            nothing else of the query is looked at, since an agent could not.
        strength: How many observations the replies to less similar messages count for.
        capacity: Kinds of messages remembered; the one not seen for longest is forgotten first.
    """

    def __init__(
        self,
        *,
        said: Callable[[Any], Sequence[str]] | None = None,
        strength: float = 1.0,
        capacity: int = 10_000,
    ) -> None:
        if not strength > 0:
            raise InvalidConfiguration(f"strength must be above 0, not {strength!r}")
        self._said = said or _said
        self._strength = strength
        self._lock = threading.Lock()
        self._replies: Recent[Counter[Template]] = Recent(capacity)

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses, most likely first."""
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
        """Learn what the user really said."""
        if isinstance(response, str):
            self.learn([(*self._said(call.query), response)])

    def learn(self, dialogues: Iterable[Sequence[str]]) -> None:
        """Learn the last message of each dialogue as a reply to those before it."""
        with self._lock:
            for said in dialogues:
                template = _template(said[-1], said[:-1])
                for kind in _kinds(said[-2]):
                    replies = self._replies.get(kind) or Counter()
                    replies[template] += 1
                    self._replies.put(kind, replies)

    def _shares(self, said: Sequence[str]) -> dict[Template, float]:
        """The probability of each reply: counts, with the shares among less similar messages as a prior."""
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
    """A looser form of a message, for ``canonical={"user": normalised}``: words in lower case, with single spaces.

    **Lossy**: a guess that differs from the real message in case, punctuation or spacing alone then counts as right,
    and the agent's next decision is the one that it has made on the guess's wording. Its dialogue shows the real
    message. Harmless for an agent that does not look at these; ``statistics.shadow_differences`` counts how often it
    did, among the decisions that are checked.
    """
    return " ".join(re.findall(r"\w+(?:['.@#-]\w+)*|###\w+###", text.lower()))


def _said(query: Any) -> Sequence[str]:
    found: Sequence[str] = query.said
    return found


def _kinds(message: str) -> Iterator[str]:
    """What a message is like, most similar first: its text, its questions, its last question, anything."""
    masked = _masked(message)
    yield f"message {masked}"
    questions = _QUESTION.findall(masked)
    yield f"questions {' '.join(each.strip() for each in questions)}"
    yield f"question {questions[-1].strip() if questions else ''}"
    yield "any"


def _masked(message: str) -> str:
    """The message without what is special about this one."""
    return _replaced(message, [_GAP for _ in _things(message)])


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class _Thing:
    """An id, a number or the like, and where it stands in a message."""

    start: int
    value: str
    kind: str


def _things(message: str) -> list[_Thing]:
    """All of them, none overlapping another: of two that do, the longer one."""
    taken = bytearray(len(message))
    found = []
    entities = {str(each.value): each.kind for each in texts.read(message).entities if each.kind in _MASKED}
    for value, kind in sorted(entities.items(), key=lambda item: -len(item[0])):
        start = message.find(value)
        while start >= 0:
            end = start + len(value)
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * len(value)
                found.append(_Thing(start, value, kind))
            start = message.find(value, end)
    return sorted(found)


def _replaced(message: str, others: Sequence[str]) -> str:
    """The message with ``others`` in place of its things."""
    parts, end = [], 0
    for thing, other in zip(_things(message), others, strict=True):
        parts += [message[end : thing.start], other]
        end = thing.start + len(thing.value)
    return "".join((*parts, message[end:]))


def _template(reply: str, said: Sequence[str]) -> Template:
    known = dict(reversed(list(_places(said))))  # of several, the first listed: the latest
    values = [thing.value for thing in _things(reply)]
    text = _replaced(reply, [_GAP if value in known else _UNKNOWN for value in values])
    return text, tuple(known[value] for value in values if value in known)


def _places(said: Sequence[str]) -> Iterator[tuple[str, Place]]:
    """Everything that can be referred to, latest message first."""
    for back, message in enumerate(reversed(said), start=1):
        numbers: Counter[str] = Counter()
        for thing in _things(message):
            numbers[thing.kind] += 1
            where = 1 if back == len(said) - 1 else -back
            yield thing.value, Place(where, thing.kind, numbers[thing.kind])


def _filled(template: Template, said: Sequence[str]) -> str | None:
    """The reply that a template means in this dialogue; ``None`` if what it takes was not said."""
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
    """What this user has already replied to messages of that kind, word by word."""
    for place in range(1, len(said) - 1, 2):
        if next(_kinds(said[place - 1])) == kind:
            yield said[place], ()
