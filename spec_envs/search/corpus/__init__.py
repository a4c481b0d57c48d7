"""Pages as values, the corpus that finds them by title or text, and the files that they are read from."""
