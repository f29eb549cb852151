"""Reports of what is trained here are not looked at."""

from __future__ import annotations

from tests.pictures import one_picture_for_all

__all__ = ["one_picture_for_all"]
