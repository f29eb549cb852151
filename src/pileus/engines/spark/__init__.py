"""Spark: the tasks of a barrier stage, of a master that is there or of this machine."""
