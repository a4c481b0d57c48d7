"""What a ``fetch`` call asks for and returns, as immutable values: a query, a page, and the result of a look-up."""

import dataclasses

from spec_envs.brief import own_form


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """An article.

    Attributes:
        title: The title by which the page is found. A page that was found by a redirect has its own title here.
        paragraphs: The text, without markup. A list is one paragraph with a line for each item.
        links: The titles that the page links to, in their order on the page, each once.
        disambiguation: Whether the page only lists what its title may refer to.
    """

    title: str
    paragraphs: tuple[str, ...]
    links: tuple[str, ...] = ()
    disambiguation: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class FetchQuery:
    """Look for the article called ``text``. Two queries are equal if their texts are equal letter by letter."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """The result of a look-up: a page, or titles similar to the text that was looked for.

    Attributes:
        page: The article; ``None`` if there is no article of that name.
        similar: If there is no article: the titles that a full-text search found, best first.
    """

    page: Page | None
    similar: tuple[str, ...] = ()


@own_form.register
def _(fetched: Fetched) -> str:
    if fetched.page is None:
        return f"no such page; similar: {', '.join(fetched.similar[:5])}"
    return f"{fetched.page.title}: {fetched.page.paragraphs[0] if fetched.page.paragraphs else ''}"


@own_form.register
def _(query: FetchQuery) -> str:
    return query.text
