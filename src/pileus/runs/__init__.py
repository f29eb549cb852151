"""The life of a run (`life`, free of I/O) and its directory."""
