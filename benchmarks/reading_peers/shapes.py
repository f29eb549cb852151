"""What a random resized crop is drawn from, for all alike."""

AREA = (0.08, 1.0)
"""Part of the picture's area."""
ASPECT = (3 / 4, 4 / 3)
"""Width by height."""
TRIES = 10
"""Before the middle is taken."""
