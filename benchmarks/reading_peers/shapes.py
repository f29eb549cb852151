"""What is the same for all readers: what a random resized crop is drawn from, and how many shards there are."""

AREA = (0.08, 1.0)
"""Part of the picture's area."""
ASPECT = (3 / 4, 4 / 3)
"""Width by height."""
TRIES = 10
"""Before the middle is taken."""
SHARDS = 8
"""As many in each format, so that they divide evenly among workers."""
