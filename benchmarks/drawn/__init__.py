"""What `benchmarks/drawings.py` asks a bundle, one kind a module."""
