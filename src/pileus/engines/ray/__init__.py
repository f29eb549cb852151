"""Ray: actors in a placement group, of a cluster that is there or of one of our own."""
