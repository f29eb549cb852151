"""The program of a place: it serves the driver until it is dismissed."""

from __future__ import annotations

from collections.abc import Callable

from pileus.engines.hosts.address import Address
from pileus.engines.hosts.agent import Agent
from pileus.engines.hosts.handshake import Caller, call_until
from pileus.engines.hosts.host import Host
from pileus.engines.places.invitation import Invitation
from pileus.engines.processes.workers import Nursery

_CALL_DEADLINE_S = 20.0
_WAY_OUT = "the cluster's nodes must reach the machine that drives the run, at any port"


def attend(invitation: Invitation, name: str, cores: int, is_wanted: Callable[[], bool] = lambda: True) -> str:
    """How it ended, in words. No process is left.

    MissingService where the driver cannot be reached, UsageError where it refuses this place. `is_wanted`: whether
    what started this place is still there.
    """
    host = Host(Address("", 0), cores, None, Nursery(), is_place=True)  # which imports while the driver is called
    try:
        caller = Caller(name, invitation.group, invitation.secret, cores)
        told = f"the driver of the run, at {invitation.driver}"
        link = call_until(invitation.driver, caller, _CALL_DEADLINE_S, told=told, way_out=_WAY_OUT)
        host.address = Address(link.own_host, 0)
        agent = Agent(link, host, is_wanted)
        try:
            over = agent.serve()
        finally:
            agent.close()
    finally:
        host.close()
    return over.reason if over is not None else "the driver is gone, or has given it up"
