"""The process of a host that is not the chief's, as TF_CONFIG has it."""

from __future__ import annotations

import signal
from collections.abc import Callable

from pileus.engines.cluster.environment import Cluster
from pileus.engines.cluster.listening import listening
from pileus.engines.cluster.secret import read_secret
from pileus.engines.hosts.agent import Agent
from pileus.engines.hosts.handshake import Caller, call_until
from pileus.engines.hosts.host import Host
from pileus.engines.hosts.messages import Over
from pileus.errors import WorkFailed


def attend(cluster: Cluster, cores: int, deadline_s: float, say: Callable[[str], None]) -> Over:
    """Serve the chief; returns its last word.

    MissingService where this host's port is taken, or no chief answers by the deadline; UsageError where the chief
    refuses this host; WorkFailed where it is gone without a last word. Interrupted after SIGTERM, once the chief has
    saved the run and ended the gang.
    """
    caller = Caller(str(cluster.task), cluster.fingerprint, read_secret(cluster), cores)
    address, chief = cluster.addresses[cluster.task], cluster.addresses[cluster.chief]
    told = f"the chief of this cluster, {cluster.told(cluster.chief)}"
    with listening(address, str(cluster.task)) as ear:
        host = Host(address, cores, ear)
        try:
            link = call_until(
                chief, caller, deadline_s, told=told, way_out="start it, or raise engine.start_deadline_s"
            )
            say(f"{cluster.told(cluster.task)} is at the service of {cluster.told(cluster.chief)}")
            agent = Agent(link, host)
            before = signal.signal(signal.SIGTERM, agent.take_notice)
            try:
                over = agent.serve()
            finally:
                signal.signal(signal.SIGTERM, before)
                agent.close()
        finally:
            host.close()
    if over is None:
        raise WorkFailed(f"{cluster.told(cluster.chief)}, the chief of this cluster, is gone without a last word.")
    return over
