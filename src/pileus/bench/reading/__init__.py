"""The study of reading: what a batch and an image cost, by format, size, threads, cache and store."""
