"""Reading a MediaWiki site over HTTP or through headless browsers."""
