"""Where the time goes, what running ahead has saved, and whether to run ahead.

``pacing`` measures ``cycles``; ``guard`` decides by them, ``control`` estimates the time saved, and ``figure`` says it
in a sentence. ``plain_clock`` says how long the plain loop would take under limits of the rate.
"""
