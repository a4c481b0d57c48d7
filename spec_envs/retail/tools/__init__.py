"""The tools of tau-bench's retail domain: names, arguments, what they do, and what they read."""
