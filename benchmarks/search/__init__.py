"""``spec-envs bench search``: how much time does speculation save an agent that searches the web?"""
