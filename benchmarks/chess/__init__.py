"""``spec-envs bench chess``: how much thinking time does speculation save in recorded games of chess?"""
