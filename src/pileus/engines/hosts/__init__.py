"""Ranks of a gang on several hosts: what the engines share that have such."""
