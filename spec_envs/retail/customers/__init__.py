"""The customers that come with the package: a script, a person at the terminal, and a recorded conversation."""
