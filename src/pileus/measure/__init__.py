"""Clocks, environment, statistics and experiments: what a number needs around it to be evidence."""
