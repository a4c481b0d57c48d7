"""``spec-envs bench tuning``: how soon does a system do well that is tuned by a slow tuner and a fast guesser?"""
