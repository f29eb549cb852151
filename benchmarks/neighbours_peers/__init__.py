"""Exact nearest neighbours by others: each search a process of its own, in an environment of its own."""
