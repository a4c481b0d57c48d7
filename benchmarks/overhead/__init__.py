"""``spec-envs bench overhead``: what does the machinery cost where it saves nothing?"""
