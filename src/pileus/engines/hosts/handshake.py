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
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pileus.engines.hosts.address import Address
from pileus.engines.hosts.link import Link, read_exactly, receive_plain, send_plain
from pileus.engines.hosts.messages import Answer, Call, Refused, Welcome
from pileus.engines.hosts.secret import NONCE_BYTES, proof
from pileus.errors import MissingService, UsageError

_MAGIC = b"PLC2"
_LARGEST_BYTES = 4096
_DEADLINE_S = 5.0
_PAUSE_S = 0.5
"""Between two calls of a chief that is not there yet."""


class Door(NamedTuple):
    """Whom a chief lets in."""

    secret: bytes
    objection: Callable[[str, str], str | None]
    """To a caller of this name and group; None where it is one of ours."""


class Caller(NamedTuple):
    """An agent, as it introduces itself."""

    name: str
    group: str
    secret: bytes
    cores: int


class Arrival(NamedTuple):
    """An agent that has proved to know the secret."""

    name: str
    cores: int
    link: Link


class Rejected(NamedTuple):
    """One that has not, or that belongs elsewhere."""

    name: str | None
    reason: str


def answer(connection: socket.socket, door: Door) -> Arrival | Rejected:
    """As chief, to a caller; the connection is the arrival's, or closed."""
    until = time.monotonic() + _DEADLINE_S
    challenge = secrets.token_bytes(NONCE_BYTES)
    try:
        connection.settimeout(_DEADLINE_S)
        connection.sendall(_MAGIC + challenge)
        call: Call = receive_plain(connection, Call, largest=_LARGEST_BYTES, until=until)
        reason = _objection(call, door, challenge)
        if reason is None:
            send_plain(connection, Welcome(proof=proof(door.secret, "chief", call.challenge, challenge)))
            return Arrival(call.name, call.cores, Link(connection, _key(door.secret, challenge, call), side="chief"))
        send_plain(connection, Refused(reason=reason))
    except (OSError, ValueError) as error:
        connection.close()
        return Rejected(None, f"a caller was no agent: {error}")
    connection.close()
    return Rejected(call.name, reason)


def call(chief: Address, caller: Caller, until: float) -> Link:
    """As agent. OSError where the chief cannot be reached or is not the one; UsageError where it refuses."""
    connection = socket.create_connection(chief, timeout=max(0.1, until - time.monotonic()))
    try:
        return _introduced(connection, chief, caller)
    except ValueError as error:
        connection.close()
        if isinstance(error, UsageError):
            raise
        raise ConnectionError(f"what answers there is no chief of ours: {error}") from error
    except BaseException:
        connection.close()
        raise


def call_until(chief: Address, caller: Caller, deadline_s: float, *, told: str, way_out: str) -> Link:
    """As `call`, again and again; MissingService where the chief, `told` so, does not answer by the deadline."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            return call(chief, caller, until)
        except OSError as error:
            left = until - time.monotonic()
            if left <= 0:
                raise MissingService(
                    f"{told}, did not answer {caller.name} within {deadline_s:g} s: {error.strerror or error}; "
                    f"{way_out}."
                ) from error
            time.sleep(min(_PAUSE_S, left))


def _introduced(connection: socket.socket, chief: Address, caller: Caller) -> Link:
    until = time.monotonic() + _DEADLINE_S
    hello = read_exactly(connection, len(_MAGIC) + NONCE_BYTES, until)
    if not hello.startswith(_MAGIC):
        raise ValueError("it does not challenge")
    challenge = hello[len(_MAGIC) :]
    call = Call(
        name=caller.name,
        group=caller.group,
        pileus=_version("pileus"),
        torch=_version("torch"),
        cores=caller.cores,
        challenge=secrets.token_bytes(NONCE_BYTES),
        proof=b"",
    )
    call = msgspec.structs.replace(call, proof=_proof_of(call, caller.secret, challenge))
    send_plain(connection, call)
    said = receive_plain(connection, Answer, largest=_LARGEST_BYTES, until=until)
    if isinstance(said, Refused):
        raise UsageError(f"the chief at {chief} refuses {caller.name}: {said.reason}.")
    if not hmac.compare_digest(said.proof, proof(caller.secret, "chief", call.challenge, challenge)):
        raise ValueError("it does not know the secret")
    return Link(connection, _key(caller.secret, challenge, call), side="agent")


def _objection(call: Call, door: Door, challenge: bytes) -> str | None:
    if not hmac.compare_digest(call.proof, _proof_of(call, door.secret, challenge)):
        return "its secret is another than the chief's; set the same on every host"
    for library, theirs in (("pileus", call.pileus), ("torch", call.torch)):
        ours = _version(library)
        if theirs != ours:
            return f"it has {library} {theirs}, and the chief {ours}; install the same on every host"
    return door.objection(call.name, call.group)


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _proof_of(call: Call, secret: bytes, challenge: bytes) -> bytes:
    unproved = msgspec.structs.replace(call, proof=b"")
    return proof(secret, "agent", challenge, msgspec.msgpack.encode(unproved))


def _key(secret: bytes, challenge: bytes, call: Call) -> bytes:
    return proof(secret, "key", challenge, call.challenge)
