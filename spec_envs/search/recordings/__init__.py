"""Recorded ReAct episodes: their file format, the pages recovered from them, and their replay."""
