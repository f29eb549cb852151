"""How an agent calls its chief: each challenges the other, and neither says a word of a run before that is answered.

chief -> agent   magic, a random challenge
agent -> chief   Call: who it is, its own challenge, its proof over all that both have said
chief -> agent   Welcome with its proof, or Refused with the reason
"""

from __future__ import annotations

import hmac
import importlib.metadata
import secrets
import socket
import time
from typing import NamedTuple

import msgspec

from pileus.engines.cluster.environment import Cluster, Task
from pileus.engines.cluster.link import Link, read_exactly, receive_plain, send_plain
from pileus.engines.cluster.messages import Answer, Call, Refused, Welcome
from pileus.engines.cluster.secret import NONCE_BYTES, proof
from pileus.errors import UsageError

_MAGIC = b"PLC1"
_LARGEST_BYTES = 4096
_DEADLINE_S = 5.0


class Arrival(NamedTuple):
    """An agent that has proved to know the secret."""

    task: Task
    cores: int
    link: Link


class Rejected(NamedTuple):
    """One that has not, or that belongs elsewhere."""

    task: Task | None
    reason: str


def answer(connection: socket.socket, cluster: Cluster, secret: bytes) -> Arrival | Rejected:
    """As chief, to a caller; the connection is the arrival's, or closed."""
    until = time.monotonic() + _DEADLINE_S
    challenge = secrets.token_bytes(NONCE_BYTES)
    try:
        connection.settimeout(_DEADLINE_S)
        connection.sendall(_MAGIC + challenge)
        call: Call = receive_plain(connection, Call, largest=_LARGEST_BYTES, until=until)
        reason = _objection(call, cluster, secret, challenge)
        if reason is None:
            send_plain(connection, Welcome(proof=proof(secret, "chief", call.challenge, challenge)))
            return Arrival(call.task, call.cores, Link(connection, _key(secret, challenge, call), side="chief"))
        send_plain(connection, Refused(reason=reason))
    except (OSError, ValueError) as error:
        connection.close()
        return Rejected(None, f"a caller was no agent: {error}")
    connection.close()
    return Rejected(call.task, reason)


def call(cluster: Cluster, secret: bytes, cores: int, until: float) -> Link:
    """As agent. OSError where the chief cannot be reached or is not the one; UsageError where it refuses."""
    chief = cluster.addresses[cluster.chief]
    connection = socket.create_connection(chief, timeout=max(0.1, until - time.monotonic()))
    try:
        return _introduced(connection, cluster, secret, cores)
    except ValueError as error:
        connection.close()
        if isinstance(error, UsageError):
            raise
        raise ConnectionError(f"what answers there is no chief of a cluster: {error}") from error
    except BaseException:
        connection.close()
        raise


def _introduced(connection: socket.socket, cluster: Cluster, secret: bytes, cores: int) -> Link:
    until = time.monotonic() + _DEADLINE_S
    hello = read_exactly(connection, len(_MAGIC) + NONCE_BYTES, until)
    if not hello.startswith(_MAGIC):
        raise ValueError("it does not challenge")
    challenge = hello[len(_MAGIC) :]
    call = Call(
        task=cluster.task,
        cluster=cluster.fingerprint,
        version=importlib.metadata.version("pileus"),
        cores=cores,
        challenge=secrets.token_bytes(NONCE_BYTES),
        proof=b"",
    )
    call = msgspec.structs.replace(call, proof=_proof_of(call, secret, challenge))
    send_plain(connection, call)
    said = receive_plain(connection, Answer, largest=_LARGEST_BYTES, until=until)
    if isinstance(said, Refused):
        raise UsageError(f"the chief at {cluster.addresses[cluster.chief]} refuses {cluster.task}: {said.reason}.")
    if not hmac.compare_digest(said.proof, proof(secret, "chief", call.challenge, challenge)):
        raise ValueError("it does not know the secret")
    return Link(connection, _key(secret, challenge, call), side="agent")


def _objection(call: Call, cluster: Cluster, secret: bytes, challenge: bytes) -> str | None:
    if not hmac.compare_digest(call.proof, _proof_of(call, secret, challenge)):
        return "its secret is another than the chief's; set the same on every host"
    if call.cluster != cluster.fingerprint:
        return "its TF_CONFIG names another cluster than the chief's; give every host the same"
    if call.task not in cluster.addresses or call.task == cluster.chief:
        return f"{call.task} is no agent of this cluster"
    version = importlib.metadata.version("pileus")
    if call.version != version:
        return f"it runs Pileus {call.version}, and the chief {version}; install the same on every host"
    return None


def _proof_of(call: Call, secret: bytes, challenge: bytes) -> bytes:
    unproved = msgspec.structs.replace(call, proof=b"")
    return proof(secret, "agent", challenge, msgspec.msgpack.encode(unproved))


def _key(secret: bytes, challenge: bytes, call: Call) -> bytes:
    return proof(secret, "key", challenge, call.challenge)
