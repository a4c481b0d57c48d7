"""The corpus, which finds pages by title or text; wiki markup; and the files that pages are read from."""
