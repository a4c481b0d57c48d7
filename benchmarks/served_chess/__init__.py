"""``spec-envs bench served-chess``: what does speculation save of a game whose players call a model over HTTP?"""
