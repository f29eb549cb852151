"""Where workers live. An engine places processes, carries messages and reports death; all else is common."""

from pileus.engines.connect import connect

__all__ = ["connect"]
