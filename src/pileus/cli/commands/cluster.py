"""`pileus cluster`: runs over hosts that other tools start."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from pileus.cli.console import Console
from pileus.cli.in_cluster import served
from pileus.engines.cluster.environment import DEFAULT_PORT, VARIABLE, printed, read_cluster
from pileus.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_START_DEADLINE_S = 120.0
_EPILOG = """A host joins a run by the environment variable TF_CONFIG, which Kubeflow's TFJob and others set, and which
`pileus cluster show` writes for those that do not:

  {"cluster": {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"]}, "task": {"type": "worker", "index": 0}}

The same command is given on every host. The chief's (worker 0 where none is called chief) drives the run and is a
worker itself; the others serve it and end with its exit code:

  pileus train mnist_cnn --data s3://bucket/mnist --runs s3://bucket/runs --engine cluster

To go on with a run, the chief resumes it and the others join:

  pileus runs resume RUN --engine cluster          on the chief's host
  pileus cluster join                              on every other

Beyond loopback all hosts must share a secret in PILEUS_CLUSTER_SECRET, or in the file that
PILEUS_CLUSTER_SECRET_FILE names; `openssl rand -hex 32` makes one. --runs must be reachable from every host.

examples:
  pileus cluster show alpha beta gamma             three hosts, port 2222
  pileus cluster show alpha:4000 beta:4000 --servers gamma:4000"""


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "cluster", help="hosts that other tools start", description="Hosts that other tools start.", epilog=_EPILOG
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="write TF_CONFIG", description="Write TF_CONFIG for each host.")
    show.add_argument("hosts", metavar="HOST[:PORT]", nargs="+", help=f"workers, the chief first (port {DEFAULT_PORT})")
    show.add_argument("--servers", nargs="+", default=[], metavar="HOST[:PORT]", help="parameter servers")
    show.set_defaults(call=_show)
    join = verbs.add_parser("join", help="serve the chief", description="Host ranks of whatever run the chief drives.")
    join.add_argument(
        "--deadline",
        type=float,
        default=_START_DEADLINE_S,
        metavar="SECONDS",
        help=f"for the chief to be there (default: {_START_DEADLINE_S:g})",
    )
    join.set_defaults(call=_join)


def _show(args: argparse.Namespace, console: Console) -> int:
    texts = printed(args.hosts, args.servers)
    lines = [f"{task}: export {VARIABLE}={shlex.quote(text)}" for task, text in texts.items()]
    console.result(texts, "\n".join(lines))
    return 0


def _join(args: argparse.Namespace, console: Console) -> int:
    cluster = read_cluster()
    if cluster.is_chief:
        raise UsageError(f"{cluster.task} is the chief of this cluster; there, run or resume with --engine cluster.")
    if args.deadline <= 0:
        raise UsageError(f"--deadline must be more than 0 seconds (got {args.deadline:g}).")
    return served(cluster, args.deadline, console)
