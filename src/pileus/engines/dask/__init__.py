"""Dask: long tasks on workers that are reserved for them, of a scheduler that is there or of one of our own."""
