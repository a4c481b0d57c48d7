"""``spec-envs bench retail``: how much less do customers wait when agent, customer and tools are predicted?"""
