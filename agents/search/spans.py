"""Finds names, titles, years and numbers in a text: an agent may search for them next, or answer with them."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

#: Words inside names: "Days of the New", "canton of St. Gallen", "Marco de la O".
_CONNECTING = frozenset(
    """a an and at by da de del della der des di do du e el et for from in la le of on or the to und van von vs with
    y &""".split()
)
#: Words that may separate several names: each part is a span too.
_SPLITTING = frozenset({"and", "or", "of", "in", "at", "by", "from", "for", "on", "with", "to", "&"})
#: Words that are capitalised only because they begin a sentence or question.
_STARTERS = frozenset(
    """a about after also although an are as at before both but by can did do does during for from had has have he her
    his how if in is it its many most of on one or she since some that the their there these they this those to until
    was were what when where which while who whom whose why with you""".split()
)
_MAX_CUTS = 6
_MAX_WORDS = 10
_MAX_EXTRA = 2
_TOKEN = re.compile(r"\w*\(\w+\)\w*|[^\s\"“”(),;:?!\[\]–—]+|[\"“”(),;:?!\[\]–—]")
_QUOTED = re.compile(r"[\"“]([^\"“”]{2,120})[\"”]")
_NOTES = re.compile(r"\[(?:\d+|[a-z]|citation needed|note \d+)\]")
_YEAR = re.compile(r"\b(1[0-9]{3}|20[0-9]{2})\b")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(rf"\b(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}})?(?:,? \d{{4}})?\b")
_NUMBER = re.compile(r"(?<![\w.,])[$€£]?\d[\d,]*(?:\.\d+)?(?: (?:million|billion|percent))?(?![\w,])")
#: Words of dates and figures, which are not names.
_NO_NAME = re.compile(rf"[\W\d]+(?:st|nd|rd|th|s)?|{_MONTHS}|of|the|and|or|to|from|in", re.IGNORECASE)
_KIND_OF = re.compile(r"\b(?:is|was|are|were) (?:an?|the|one of the) ([^.,;:()]{3,90})")


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text, with its kind, its position, and the words before and after.

    ``part`` is the place of this span in a longer span, as of "Xingcheng" in "Xingcheng or Ulan Hot": ``"first"``,
    ``"middle"``, ``"last"`` or ``"end"``; ``""`` for a whole span.
    """

    text: str
    kind: str
    start: int
    before: str = ""
    after: str = ""
    part: str = ""


@functools.lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """Return the text without footnote marks and with single spaces."""
    return " ".join(_NOTES.sub("", text).split())


@functools.lru_cache(maxsize=4096)
def spans_of(text: str) -> tuple[Span, ...]:
    """Return the spans of a cleaned text in order; a repeated span is listed once."""
    found = sorted([*_quoted(text), *_names(text), *_figures(text)], key=lambda span: (span.start, -len(span.text)))
    first: dict[tuple[str, str], Span] = {}
    for span in found:
        first.setdefault((span.text.lower(), "figure" if span.kind in ("year", "date", "number") else "name"), span)
    return tuple(first.values())


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text.lower())


def descriptions(text: str) -> Iterator[Span]:
    """Yield the descriptions in a text: "county-level city" in "Ulanhot is a county-level city"."""
    for match in _KIND_OF.finditer(text):
        yield Span(match[1].strip(), "description", match.start(1))


def _quoted(text: str) -> Iterator[Span]:
    for match in _QUOTED.finditer(text):
        inside = match[1].strip(" .,")
        if inside:
            yield Span(inside, "quoted", match.start(1), _word_before(text, match.start()))


def _figures(text: str) -> Iterator[Span]:
    for kind, pattern in (("date", _DATE), ("year", _YEAR), ("number", _NUMBER)):
        for match in pattern.finditer(text):
            if kind != "date" or any(letter.isdigit() for letter in match[0]):
                yield Span(match[0], kind, match.start(), _word_before(text, match.start()))


def _word_before(text: str, start: int) -> str:
    return text[:start].rstrip(' "“(').rpartition(" ")[2].lower()


@dataclasses.dataclass(slots=True)
class _Token:
    text: str
    start: int
    end: int
    starts_sentence: bool

    @property
    def named(self) -> bool:
        """Whether the token looks like a part of a name."""
        first = next((letter for letter in self.text if letter.isalnum()), "")
        return first.isupper() or first.isdigit()


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    fresh = True
    for match in _TOKEN.finditer(text):
        word = match[0]
        bare = word.rstrip(".'’")
        ends = word.endswith(".") and not (len(bare) <= 2 or "." in bare or bare in ("Jr", "Sr", "Dr", "Mr", "Mrs"))
        tokens.append(_Token(bare if ends else word.rstrip("'’"), match.start(), match.end(), fresh))
        if ends:
            tokens.append(_Token(".", match.end(), match.end(), False))
        fresh = ends or word in "?!:"
    return tokens


def _names(text: str) -> Iterator[Span]:
    tokens = _tokens(text)
    number = 0
    while number < len(tokens):
        token = tokens[number]
        if not token.named or _only_starts(tokens, number):
            number += 1
            continue
        last = _end_of_name(tokens, number)
        before = tokens[number - 1].text.lower() if number else ""
        after = tokens[last + 1].text.lower() if last + 1 < len(tokens) else ""
        yield from _variants(text, tokens[number : last + 1], before, after)
        yield from _longer(text, tokens, number, last, before)
        number = last + 1


def _only_starts(tokens: Sequence[_Token], number: int) -> bool:
    """Whether the word is capitalised only because it starts a sentence: "Which", or "The" before a lower-case word."""
    word = tokens[number].text.lower()
    if not tokens[number].starts_sentence or word not in _STARTERS:
        return False
    return not (word in ("a", "an", "the") and number + 1 < len(tokens) and tokens[number + 1].named)


def _end_of_name(tokens: Sequence[_Token], start: int) -> int:
    last = ahead = start
    while ahead + 1 < len(tokens) and ahead - last <= 3:
        ahead += 1
        token = tokens[ahead]
        if token.named and not _only_starts(tokens, ahead):
            last = ahead
        elif token.text.lower() not in _CONNECTING:
            break
    return last


def _variants(text: str, name: Sequence[_Token], before: str, after: str) -> Iterator[Span]:
    """Yield the name itself, and its parts between words such as "and" and "of", which may be names too."""
    cuts = [number for number, token in enumerate(name) if token.text.lower() in _SPLITTING][:_MAX_CUTS]
    for left in (-1, *cuts):
        for right in (*(cut for cut in cuts if cut > left), len(name)):
            piece = list(name[left + 1 : right])
            while len(piece) > 1 and not piece[0].named:
                piece.pop(0)
            while len(piece) > 1 and not piece[-1].named:
                piece.pop()
            if not piece or not piece[0].named:
                continue
            part = ("" if right == len(name) else "first") if left < 0 else ("last" if right == len(name) else "middle")
            words = before if left < 0 else name[left].text.lower()
            behind = after if right == len(name) else name[right].text.lower()
            yield from _forms(text, piece, words, behind, part)


def _forms(text: str, name: Sequence[_Token], before: str, after: str, part: str) -> Iterator[Span]:
    """Yield the name, and the name without its article or title."""
    if len(name) == 1 and name[0].text.lower() in _STARTERS:
        return
    yield from _span(text, name, before, after, part)
    if len(name) > 1 and name[0].text in ("The", "A", "An"):
        yield from _span(text, name[1:], name[0].text.lower(), after, part)
    if len(name) > 3 and all(token.named for token in name):  # "Chief Justice Roger B. Taney"
        yield from _span(text, name[2:], name[1].text.lower(), after, "end")


def _span(text: str, name: Sequence[_Token], before: str, after: str, part: str) -> Iterator[Span]:
    words = text[name[0].start : name[-1].start] + name[-1].text
    words = re.sub(r"['’]s$", "", words).strip(" .,'’-")
    if len(words) >= 2 and not all(_NO_NAME.fullmatch(word) for word in words.split()):
        yield Span(words, "name", name[0].start, before, after, part)


def _longer(text: str, tokens: Sequence[_Token], start: int, last: int, before: str) -> Iterator[Span]:
    """Yield longer names: across a comma ("Salisbury, South Australia"), around a quotation, or with a word more."""
    begin = tokens[start].start
    if last + 2 < len(tokens) and tokens[last + 1].text == "," and tokens[last + 2].named:
        end = _end_of_name(tokens, last + 2)
        if end - start <= _MAX_WORDS:
            yield Span(text[begin : tokens[end].start] + tokens[end].text, "joined", begin, before)
    if last + 1 < len(tokens) and tokens[last + 1].text in '"“':
        for close in range(last + 2, min(last + _MAX_WORDS, len(tokens) - 1)):
            if tokens[close].text in '"”' and tokens[close + 1].named:
                yield Span(text[begin : tokens[close + 1].start] + tokens[close + 1].text, "around", begin, before)
    for number in range(last + 1, min(last + 1 + _MAX_EXTRA, len(tokens))):
        word = tokens[number].text
        if not word.isalpha() or word.lower() in _CONNECTING or word.lower() in _STARTERS:
            break
        after = tokens[number + 1].text.lower() if number + 1 < len(tokens) else ""
        yield Span(text[begin : tokens[number].start] + word, "extended", begin, before, after)
