"""The generated shop that comes with the package: its data and its tasks, all of them a function of one seed."""
