"""The arithmetic of training: the same bits wherever it runs. Imports no engine."""
