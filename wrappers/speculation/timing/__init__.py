"""Where the time goes, what running ahead has saved, and whether to run ahead.

``pacing`` measures ``cycles``. From these, ``guard`` decides whether to run ahead, and ``control`` estimates the time
saved; ``figure`` puts the estimate into a sentence. ``plain_clock`` says how long the plain loop would take under rate
limits.
"""
