"""How workers of a gang hand each other arrays, by rank, with deadlines."""
