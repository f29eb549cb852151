"""Whether the weights are the same, bit for bit, wherever and by however many workers they are trained."""
