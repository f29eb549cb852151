"""What libraries that place say of a failure is long; users are told the line that says why."""

from __future__ import annotations


def telling_line(failure: object, *words: str) -> str:
    """The first line of what an error or a state says that has one of the words, else the first; its class where it
    says nothing."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in words)]
    return (telling or lines or [type(failure).__name__])[0]
