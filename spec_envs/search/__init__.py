"""Multi-hop web search: ``SpecSearch-v0``, its ``fetch`` calls, and the corpora and sites that answer them."""

from spec_envs.search.corpus import Corpus
from spec_envs.search.env import SearchEnv
from spec_envs.search.loading import load_corpus, load_questions
from spec_envs.search.local_wiki.server import WikiSite
from spec_envs.search.pages import Fetched, FetchQuery, Page
from spec_envs.search.questions import Question
from spec_envs.search.web.backends import BrowserBackend, HttpBackend
from spec_envs.search.web.client import WebSettings

__all__ = [
    "BrowserBackend",
    "Corpus",
    "FetchQuery",
    "Fetched",
    "HttpBackend",
    "Page",
    "Question",
    "SearchEnv",
    "WebSettings",
    "WikiSite",
    "load_corpus",
    "load_questions",
]
