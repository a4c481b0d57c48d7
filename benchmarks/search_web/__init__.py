"""``spec-envs bench search-web``: what does speculation save where real pages are loaded, and is anything lost?"""
