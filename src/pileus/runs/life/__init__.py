"""The life of a run as a state machine: events in, instructions out. No I/O, threads, clock or randomness here."""
