"""How two hosts prove to each other that they know the secret that they share.

Whoever may post a job may read and write what the run's user may, so nobody is listened to who has not proved to know
the secret: each side answers a random challenge of the other by HMAC-SHA256, and every later message carries one under
a key of that conversation. Messages are proved, not hidden: who can listen on the network can read them.
"""

from __future__ import annotations

import hmac

NONCE_BYTES = 32


def proof(secret: bytes, purpose: str, *parts: bytes) -> bytes:
    """32 bytes that only who knows the secret can make."""
    return hmac.digest(secret, b"".join(len(part).to_bytes(8) + part for part in (purpose.encode(), *parts)), "sha256")
