"""Tuning: ``SpecTuning-v0``, its knobs and workloads, and the backends that measure them."""
