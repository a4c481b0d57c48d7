"""Worlds without end: a wiki and questions like the embedded ones, from any seed, up to a hundred times as large.

A world depends on its seed and size alone, on any machine and in any version of Python. Its names are invented, so it
shares no country, town or person with the embedded world. A world of size n has n parts, each about as large as the
embedded world; the facts in a part are about each other, and the questions are about all parts.
"""

import functools
from typing import NamedTuple

from spec_envs.draws import Draws
from spec_envs.search.corpus import Corpus
from spec_envs.search.questions import Question
from spec_envs.search.world.entities import World
from spec_envs.search.world.invented import Inventor
from spec_envs.search.world.questions import SPLITS, Mixture, make_questions
from spec_envs.search.world.wiki import make_wiki
from spec_envs.search.world.world import give_titles, make_world

#: How many pairs of people in a part of the world share a name: more than in the embedded world.
_NAMESAKES = 30

#: The kinds of each ten questions.
_MIXTURE: Mixture = ("two hops",) * 2 + ("three hops",) * 3 + ("four hops",) * 2 + ("comparison",) * 2 + ("negation",)


class Generated(NamedTuple):
    """A generated world: its wiki, and the questions about it."""

    corpus: Corpus
    questions: tuple[Question, ...]


@functools.lru_cache(maxsize=4)
def generated_world(seed: int, size: int) -> Generated:
    """The wiki and the questions of the world with this seed and size, in the order train, dev, test."""
    name = f"generated:{seed}"
    inventor, taken, whole = Inventor(Draws("invented", name)), set[str](), World()
    for number in range(size):
        part = make_world(f"{name}:{number}", inventor.part(), taken=taken, num_namesakes=_NAMESAKES)
        whole.entities += part.entities
    give_titles(whole)
    corpus = make_wiki(whole, name)
    sizes = {split: count * size for split, count in SPLITS.items()}
    return Generated(corpus, make_questions(whole, name, sizes=sizes, mixture=_MIXTURE, corpus=corpus))
