"""``spec-envs bench guess``: how often is the next tool call of an agent among the first guesses?"""
