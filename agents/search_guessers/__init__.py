"""Guessers for ``SpecSearch-v0``: of the agent's next action and of what a page will say; free and recorded ones."""

from spec_envs.agents.search_guessers.guesser import SearchGuesser
from spec_envs.agents.search_guessers.pages import PageGuesser
from spec_envs.agents.search_guessers.recorded import RecordedSearchGuesser

__all__ = ["PageGuesser", "RecordedSearchGuesser", "SearchGuesser"]
