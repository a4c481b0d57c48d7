"""The articles of the generated wiki, written from the facts of the world."""
