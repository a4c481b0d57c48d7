"""The actions that an agent may take next, each with features from which its probability is estimated."""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from spec_envs.agents.search.situation import STOP_WORDS, Situation, Step, stem
from spec_envs.agents.search.spans import Span, descriptions, spans_of, words_of
from spec_envs.search.actions import Act

#: The number of spans of the last page, and of each earlier page, that are considered.
_MAX_SPANS = 50
_MAX_EARLIER = 20
#: The number of characters around a span in which words of the question are counted.
_REACH = 60
#: Neighbouring words that may show what a span is.
_NEAR = frozenset(
    """a actor actress album an and are as at author band between book both by called directed director film for from in
    is movie named novel of or player series singer song starring than that the to was with written""".split()
)
#: Qualifiers of titles, as in "Venus (play)", with the words of a question that suggest them.
_KINDS = {
    "film": ("film", "movie", "films"),
    "TV series": ("series", "tv", "television", "show", "sitcom", "hbo"),
    "band": ("band", "bands", "group", "members", "rock"),
    "song": ("song", "songs", "single"),
    "album": ("album", "albums"),
    "novel": ("novel", "book"),
    "play": ("play", "playwright"),
    "magazine": ("magazine", "magazines"),
    "company": ("company", "founded"),
}
_NOTE = re.compile(r" \((?:redirect|category|section) .*\)$")
_RELATIONS = frozenset(
    """author award born budget capital city club company coach country death died directed director education
    established founded founder genre headquarters league located location members nationality network owned owner
    population producer profession published release released role series starring team title university wife won
    written year""".split()
)


class Candidates:
    """The possible actions in a situation, with the features of each."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._done = {(act.name, act.argument.lower()) for act in situation.acts}
        self._found: dict[tuple[str, str], tuple[Act, dict[str, None]]] = {}
        self._from_question()
        self._from_similar()
        self._from_pages()
        self._again()
        self._yes_or_no()

    @property
    def rows(self) -> list[tuple[Act, tuple[str, ...]]]:
        """Each action with its features."""
        return [(act, tuple(features)) for act, features in self._found.values()]

    def add(self, name: str, argument: str, *features: str) -> None:
        """Add an action, or add ``features`` to the action if it is there already."""
        argument = " ".join(argument.split())
        if argument:
            self._entry(name, argument).update((f"{name} {feature}", None) for feature in features)

    def _entry(self, name: str, argument: str) -> dict[str, None]:
        """The features of the action, which is added if it is not there yet."""
        key = (name, argument.lower())
        entry = self._found.get(key)
        if entry is None:
            entry = self._found[key] = (Act(name, argument), {name: None})
            if name == "search":
                entry[1].update(dict.fromkeys(self._about_search(argument)))
            elif key in self._done:
                entry[1][f"{name} done"] = None
        return entry[1]

    # -- sources -------------------------------------------------------------------------------------------------

    def _from_question(self) -> None:
        situation = self._situation
        starts = sorted({span.start for span in situation.spans if span.part in ("", "first") and span.kind != "year"})
        fresh = sorted({span.start for span in situation.spans if not self._is_done(span.text) and _is_name(span)})
        for span in situation.spans:
            rank = sum(start < span.start for start in starts)
            features = [f"q rank {min(rank, 3)}", *_looks(span, "q")]
            if span.start in fresh:
                features.append(f"q fresh {min(fresh.index(span.start), 3)}")
                features.append(f"q fresh {min(fresh.index(span.start), 3)} {span.kind} {span.part}")
            if situation.pages and span.text.lower() in situation.pages[0].text.lower():
                features.append("q on page")
            self.add("search", span.text, "q", *features)
            self.add("finish", span.text, "q", *features, f"q {situation.form} {_is_name(span)}")
            self.add("lookup", span.text, "q span", *features[:2])
        self._titled()
        self._words()

    def _titled(self) -> None:
        """Add searches for names with a qualifier, such as "Venus (play)"."""
        situation = self._situation
        words = set(words_of(situation.question))
        kinds = [kind for kind, signs in _KINDS.items() if words & set(signs)]
        last = situation.last.act.argument if situation.last and situation.last.act else ""
        names = [
            span for span in situation.spans if span.kind in ("name", "quoted") and span.part in ("", "first", "last")
        ]
        for kind in kinds:
            for rank, span in enumerate(names[:6]):
                same = span.text.lower() == last.lower()
                self.add(
                    "search", f"{span.text} ({kind})", f"titled {min(rank, 3)}", f"titled {same}", f"titled {kind}"
                )
            if last and "(" not in last:
                self.add("search", f"{last} ({kind})", "titled last", f"titled last {kind}")

    def _words(self) -> None:
        """Add lookups of the question's words, and searches with such a word appended."""
        situation = self._situation
        text = situation.pages[0].text.lower() if situation.pages else ""
        plain = [word for word in situation.words if word in situation.question]  # the words in lower case
        searched = [act.argument for act in situation.acts if act.name == "search"][:1]
        for rank, word in enumerate(reversed(plain)):
            features = [f"word {min(rank, 5)}", f"word on page {word in text}"]
            if word in _RELATIONS:
                features += ["word relation", f"word {word}"]
            self.add("lookup", word, "word", *features)
            for argument in searched:
                self.add("search", f"{argument} {word}", "with word", f"with {features[0]}", *features[2:3])
        for one, other in zip(plain, plain[1:], strict=False):
            if f"{one} {other}" in situation.question:
                self.add("lookup", f"{one} {other}", "two words")

    def _from_similar(self) -> None:
        for age, step in enumerate(reversed(self._situation.steps)):
            query = step.act.argument.lower() if step.act else ""
            for number, title in enumerate(step.similar):
                bare = _NOTE.sub("", title)
                features = [f"similar {min(age, 2)}", f"similar {min(age, 2)} number {number}"]
                features += [f"similar {min(age, 1)} {each}" for each in self._likeness(bare, query)]
                if bare != title:
                    features.append("similar noted")
                    self.add("search", title, "similar as it stands")
                self.add("search", bare, *features)

    def _likeness(self, title: str, query: str) -> Iterator[str]:
        low, vocabulary = title.lower(), self._situation.vocabulary
        yield "same" if low == query else "longer" if low.startswith(query) else "other"
        if low != query and query.startswith(low):
            yield "shorter"
        words, wanted = set(words_of(title)), set(words_of(query))
        yield f"shares {4 * len(words & wanted) // max(1, len(wanted))}"
        yield f"shares back {4 * len(words & wanted) // max(1, len(words))}"
        if "(" in low:
            inside = words_of(low[low.index("(") :])
            yield f"in brackets {any(stem(word) in vocabulary for word in inside)}"
            yield from (f"in brackets {kind}" for kind in ("band", "film", "tv series", "song") if kind in low)
        if low in self._situation.question.lower():
            yield "in question"

    def _from_pages(self) -> None:
        for age, page in enumerate(self._situation.pages[:4]):
            self._from_page(page, min(age, 2))
        last = self._situation.last
        if last is not None and last.kind == "sentence":
            for span in spans_of(last.text):
                self.add("finish", span.text, "sentence", *_looks(span, "sentence"))
                self.add("search", span.text, "sentence", *_looks(span, "sentence"))

    def _from_page(self, page: Step, age: int) -> None:
        situation = self._situation
        subject = page.act.argument if page.act else ""
        for name, argument, features in _on_page(
            page.text, subject, age, situation.question, situation.form, situation.vocabulary
        ):
            self._entry(name, argument).update(features)

    def _again(self) -> None:
        """Add every earlier action as a candidate."""
        for age, act in enumerate(reversed(self._situation.acts)):
            self.add(act.name, act.argument, f"again {min(age, 3)}")

    def _yes_or_no(self) -> None:
        pages = min(len(self._situation.pages), 3)
        for answer in ("yes", "no"):
            self.add("finish", answer, "yesno", answer, f"{answer} {self._situation.form}", f"yesno {pages}")

    # -- features ------------------------------------------------------------------------------------------------

    def _is_done(self, text: str) -> bool:
        return any(text.lower() in argument for argument in self._situation.searched)

    def _about_search(self, argument: str) -> Iterator[str]:
        low, searched = argument.lower(), self._situation.searched
        if low in searched:
            yield "search done"
            yield f"search done {sum(act.argument.lower() == low for act in self._situation.acts)}"
        elif any(low in other for other in searched):
            yield "search part of one done"
        elif any(other in low for other in searched):
            yield "search longer than one done"
        yield f"search words {min(len(argument.split()), 6)}"


@functools.lru_cache(maxsize=512)  # an episode's decisions, and its branches, come to the same pages again and again
def _on_page(
    text: str, argument: str, age: int, question: str, form: str, vocabulary: frozenset[str]
) -> Sequence[tuple[str, str, Mapping[str, None]]]:
    """Return the actions that a page suggests, each with its features; ``argument`` found the page."""
    found: list[tuple[str, str, Mapping[str, None]]] = []

    def add(name: str, span: Span, *features: str) -> None:
        if shown := " ".join(span.text.split()):
            found.append((name, shown, {f"{name} {feature}": None for feature in features}))

    low, subject, asked = text.lower(), set(words_of(argument)), set(words_of(question))
    where = f"page {age}"
    first = (text.find(". ") + 1) or len(text)
    for number, span in enumerate(spans_of(text)[: _MAX_SPANS if age == 0 else _MAX_EARLIER]):
        words = set(words_of(span.text))
        near = _near(text, span, vocabulary - {stem(word) for word in words})
        features = [where, f"{where} {_bucket(number)}", f"{where} near {near}", *_looks(span, where)]
        features.append(f"{where} {'first sentence' if span.start < first else 'later'} near {near}")
        if words <= subject:
            features.append(f"{where} subject")
        if not words - asked:
            features.append(f"{where} in question")
        if low.count(span.text.lower()) > 1:
            features.append(f"{where} again")
        if _is_name(span):
            add("search", span, *features)
        add("finish", span, *features, f"{where} {form} {span.kind}", f"{form} near {near}")
    for span in itertools.islice(descriptions(text), 2):
        add("finish", span, "description", f"description {form}")
    return found


def _looks(span: Span, where: str) -> Sequence[str]:
    """Return the features of a span itself and of the words next to it."""
    before = _kind_of_neighbour(span.before, "start")
    after = _kind_of_neighbour(span.after, "end")
    if after == "other" and not span.after[0].isalpha():
        after = "sign"
    length = min(len(span.text.split()), 5)
    return (
        f"{where} {span.kind} {span.part}",
        f"{where} {span.kind} {span.part} before {before}",
        f"{where} before {before}",
        f"{where} after {after}",
        f"{where} length {length}",
        f"{where} {span.kind} {span.part} length {length}",
        f"{where} article {span.text.startswith('The ')}",
    )


def _kind_of_neighbour(word: str, none: str) -> str:
    if word in _NEAR:
        return word
    return none if not word else "stop" if word in STOP_WORDS else "other"


def _is_name(span: Span) -> bool:
    return span.kind not in ("year", "date", "number", "description")


def _near(text: str, span: Span, vocabulary: frozenset[str]) -> int:
    """Return the number of words of the question around a span, at most 3."""
    end = span.start + len(span.text)
    around = text[max(0, span.start - _REACH) : span.start] + " " + text[end : end + _REACH // 2]
    return min(3, len({stem(word) for word in words_of(around)} & vocabulary))


def _bucket(number: int) -> str:
    return "0" if number == 0 else "1-2" if number < 3 else "3-6" if number < 7 else "7-15" if number < 16 else "16-"
