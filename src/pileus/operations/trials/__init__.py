"""Trials of an engine under faults: what befalls a run, by coordinates, and what must come of it all the same."""
