"""The shop's data: as they were loaded, and as snapshots that record what changed since."""
