"""Finds possible arguments in a text: ids, e-mails, numbers, dates, quoted words, names and codes.

The regular expressions are not specific to a domain. ``normal`` returns the form in which texts are searched for a
value. ``shape`` returns the form of a value: values of one kind, such as ids of orders, have the same form.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?P<year>(?:19|20)\d\d))?"
_DATES = [
    re.compile(rf"\b{_MONTH}\s+{_DAY}\b{_YEAR}", re.IGNORECASE),
    re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}\b{_YEAR}", re.IGNORECASE),
]
_PATTERNS = [
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("date", re.compile(r"\b(?:19|20)\d\d-[01]\d-[0-3]\d\b")),
    ("id", re.compile(r"#?\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])\w[\w-]*\w\b")),
    ("quoted", re.compile(r"[\"“]([^\"”\n]{1,80})[\"”]|(?<!\w)'([^'\n]{1,80})'(?!\w)")),
    ("code", re.compile(r"\b[A-Z]{2,6}\b")),
    ("name", re.compile(r"\b[A-Z][a-z]+(?:[ -][A-Z][a-z]+)*\b")),
    ("number", re.compile(r"(?<![\w.,-])\$?\d+(?:,\d{3})*(?:\.\d+)?(?![\w-])")),
]
_ISO = re.compile(r"\d{4} \d\d \d\d")
_GLOSS = re.compile(r"\b([A-Z][a-z]+(?:[ /-][A-Z][a-z]+)*)\W{1,4}\(([\w#-]{2,24})\)")
_NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_RUN = re.compile(r"[A-Z]+|[a-z]+|[0-9]+")
_ALNUM = re.compile(r"[A-Za-z0-9]+")
#: Alternating letters and digits, as in hexadecimal ids; each such id would have another form.
_MIXED = re.compile(r"[A-Za-z]+[0-9]+[A-Za-z]|[0-9]+[A-Za-z]+[0-9]")
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
#: Frequent words that carry little information and are not names.
COMMON = frozenset(
    """a an and are as at be but by can could do for from great have here hello hi how i i'd i'll i'm in is it it's let
    me my no not of ok okay on or please so sure thank thanks that the then there these they this to was we what when
    which will with would yes you your""".split()
)
#: The number of characters of a text that are read: half from its beginning and half from its end.
_MAX_TEXT = 6000


@dataclasses.dataclass(frozen=True, slots=True)
class Entity:
    """A possible value in a text, with its position and the word before."""

    value: Any
    kind: str
    position: int
    before: str


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """The contents of a message: its words, also as one string for searches, and its entities."""

    words: tuple[str, ...]
    line: str
    vocabulary: frozenset[str]
    entities: tuple[Entity, ...]
    names: tuple[str, ...]
    dates: Mapping[str, Entity]  # by month and day
    glosses: tuple[tuple[str, str], ...]

    def find(self, wanted: str) -> int:
        """Return the position of the value with the normal form ``wanted``, or -1."""
        if not wanted or (" " not in wanted and wanted not in self.vocabulary):
            return -1
        position = self.line.find(f" {wanted} ")
        if position < 0 and _ISO.fullmatch(wanted):
            date = self.dates.get(wanted[5:].replace(" ", "-"))
            return -1 if date is None else date.position
        return position

    def word_before(self, position: int, wanted: str = "") -> str:
        """Return the word before a position that ``find`` returned."""
        if _ISO.fullmatch(wanted) and self.line[position + 1 : position + 1 + len(wanted)] != wanted:
            return self.dates[wanted[5:].replace(" ", "-")].before
        return self.line[:position].rpartition(" ")[2]


def words_of(text: str) -> list[str]:
    """Return the words of ``text`` in lower case. Signs and underscores separate words."""
    return _WORD.findall(text.lower())


@functools.lru_cache(maxsize=65536)
def _normal(value: str) -> str:
    return " ".join(words_of(value))


def normal(value: Any) -> str:
    """Return the form in which texts are searched for a value; empty if the value cannot be found in a text."""
    if isinstance(value, str):
        return _normal(value) if len(value) <= 120 else ""
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float):
        return " ".join(words_of(f"{value:g}" if abs(value) < 1e6 else str(value)))
    return ""


@functools.lru_cache(maxsize=4096)
def read(text: str) -> Text:
    """Return the contents of a message. Cached."""
    if len(text) > _MAX_TEXT:
        text = f"{text[: _MAX_TEXT // 2]}\n{text[-_MAX_TEXT // 2 :]}"
    words = words_of(text)
    entities = sorted(_entities(text), key=lambda entity: (entity.position, str(entity.value)))
    found = (str(each.value).lower() for each in entities if each.kind == "name")
    names = tuple(dict.fromkeys(name for name in found if name not in COMMON))
    dates = {str(each.value)[5:]: each for each in reversed(entities) if each.kind == "date"}
    glosses = tuple((name.lower(), code) for name, code in _GLOSS.findall(text))
    return Text(tuple(words), f" {' '.join(words)} ", frozenset(words), tuple(entities), names, dates, glosses)


def _entities(text: str) -> list[Entity]:
    found: dict[tuple[str, str], Entity] = {}

    def add(value: Any, kind: str, position: int) -> None:
        before = words_of(text[max(0, position - 30) : position])
        found.setdefault(
            (type(value).__name__, str(value)), Entity(value, kind, position, before[-1] if before else "")
        )

    taken = bytearray(len(text))
    for pattern in _DATES:
        for match in pattern.finditer(text):
            month = _MONTHS.index(match["month"].lower()) + 1
            add(f"{match['year'] or '????'}-{month:02d}-{int(match['day']):02d}", "date", match.start())
            taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if kind in ("id", "number", "code") and any(taken[match.start() : match.end()]):
                continue  # a part of a longer entity
            if kind in ("email", "date", "id"):
                taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
            for value, sort in _values(kind, next(filter(None, match.groups()), match.group())):
                add(value, sort, match.start())
    for match in re.finditer(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b", text, re.IGNORECASE):
        add(_NUMBER_WORDS.index(match.group().lower()) + 1, "number", match.start())
    return list(found.values())


def _values(kind: str, raw: str) -> list[tuple[Any, str]]:
    if kind == "number":
        plain = raw.strip("$").replace(",", "")
        if "." in plain:
            return [(float(plain), kind)]
        return [(int(plain[:15]), kind), (plain, "digits")]
    if kind == "id" and not raw.startswith("#") and re.fullmatch(r"[A-Z]\d{4,}", raw):
        return [(raw, kind), (f"#{raw}", kind)]  # people often omit the sign
    if kind == "name" and " " in raw:
        return [(raw, kind), *((part, kind) for part in raw.split(" "))]
    return [(raw, kind)]


@functools.lru_cache(maxsize=65536)
def _shape(value: str) -> str:
    if len(value) > 60 or value.count(" ") > 4:
        return "text"
    if re.fullmatch(r"(?=.*\d)(?=.*[A-Z])[A-Z0-9]{4,12}", value):
        return f"code{len(value)}"
    return _ALNUM.sub(_word, value) or "empty"


def _word(match: re.Match[str]) -> str:
    return "x" if _MIXED.search(match[0]) else _RUN.sub(_run, match[0])


def _run(match: re.Match[str]) -> str:
    run = match[0]
    return "0" if run.isdigit() else "a" if run.islower() else "A" if len(run) == 1 else f"A{min(len(run), 6)}"


def shape(value: Any) -> str:
    """Return the form of a value: ``a_a_0`` for ``mia_li_3668``, ``code6`` for ``4WQ150``, ``[{date,id}]`` for records.

    ``x`` stands for alternating letters and digits: ``A-x`` for ``T-3fa9c1``.
    """
    if isinstance(value, str):
        return _shape(value)
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(map(str, value))) + "}"
    if isinstance(value, list | tuple):
        return f"[{shape(value[0])}]" if value else "[]"
    return type(value).__name__


class Forms:
    """A set of forms of values. ``form in forms`` is true if ``form`` matches one of them.

    Where a form has alternating letters and digits, any letters and digits match: ``T-123456`` may be hexadecimal too.
    """

    def __init__(self, forms: Iterable[str] = ()) -> None:
        self._forms = dict.fromkeys(forms)
        self.all = tuple(self._forms)
        self._loose = frozenset(_loose(form) for form in self._forms if "x" in _ALNUM.findall(form))

    def __contains__(self, form: str) -> bool:
        return form in self._forms or (bool(self._loose) and _loose(form) in self._loose)

    def __iter__(self) -> Iterator[str]:
        return iter(self.all)


@functools.lru_cache(maxsize=4096)
def _loose(form: str) -> str:
    return form if "{" in form else _ALNUM.sub("x", form)
