"""The backends: each answers ``measure`` calls by running a workload, or a model of one."""
