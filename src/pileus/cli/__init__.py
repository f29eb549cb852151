"""The command line: parse, resolve, call. Nothing is decided here that a library user could not ask for."""
