"""``spec-envs bench crowd``: how many episodes does one process hold at once, each with a tree of its own?"""
