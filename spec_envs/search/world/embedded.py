"""The wiki and the questions that come with the package, generated once in a process."""

from __future__ import annotations

import functools

from spec_envs.search.corpus.corpus import Corpus
from spec_envs.search.questions import Question
from spec_envs.search.world.articles.wiki import make_wiki
from spec_envs.search.world.facts.entities import World
from spec_envs.search.world.facts.world import make_world
from spec_envs.search.world.questions.generator import make_questions

#: The seed of the embedded world.
SEED = 20240


@functools.cache
def _world() -> World:
    return make_world(SEED)


@functools.cache
def embedded_corpus() -> Corpus:
    """The wiki about the embedded world."""
    return make_wiki(_world(), SEED)


@functools.cache
def embedded_questions() -> tuple[Question, ...]:
    """The questions about the embedded world, in the order train, dev, test."""
    return make_questions(_world(), SEED)
