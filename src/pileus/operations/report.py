"""A run's report.html from what the run's directory holds."""

from __future__ import annotations


def report_of(*a: object) -> str:
    return ""
