"""A wiki on this machine that shows a corpus as a MediaWiki site does."""
