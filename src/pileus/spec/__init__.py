"""Frozen values shared by all layers. Nothing here does I/O."""
