"""The description of a cluster in the environment variable TF_CONFIG, as TensorFlow and the tools around it mean it.

    {"cluster": {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"], "ps": ["d:2222"]},
     "task": {"type": "worker", "index": 0}}

`cluster` is the same on every host, `task` says which of its addresses this process is. The chief is a worker, too;
where none is named worker 0 is the chief. Fields that other tools add (`environment`, `job`, `rpc_layer`) mean nothing
here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from pileus.engines.hosts.address import Address
from pileus.errors import UsageError
from pileus.spec.run import RunSpec
from pileus.spec.values import Spec, digest

VARIABLE = "TF_CONFIG"
DEFAULT_PORT = 2222
_LARGEST_BYTES = 1 << 20
_TYPES = ("chief", "worker", "ps")
_EXAMPLE = """TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'"""


class Task(Spec, frozen=True, kw_only=True):
    type: Literal["chief", "worker", "ps"]
    index: Annotated[int, Meta(ge=0)]

    def __str__(self) -> str:
        return f"{self.type} {self.index}"


class Cluster(NamedTuple):
    """All hosts, and which of them this is."""

    workers: tuple[Task, ...]
    """The chief first."""
    servers: tuple[Task, ...]
    addresses: Mapping[Task, Address]
    task: Task

    @property
    def chief(self) -> Task:
        return self.workers[0]

    @property
    def is_chief(self) -> bool:
        return self.task == self.chief

    @property
    def is_loopback(self) -> bool:
        return all(address.is_loopback for address in self.addresses.values())

    @property
    def fingerprint(self) -> str:
        """The same on every host."""
        return digest("\n".join(f"{task} {self.addresses[task]}" for task in self.workers + self.servers).encode())

    def told(self, task: Task) -> str:
        return f"{task} ({self.addresses[task]})"

    def check(self, spec: RunSpec) -> None:
        """UsageError where no gang of this run can be placed."""
        if spec.evaluators:
            raise UsageError(
                f"a cluster places workers and parameter servers (got evaluators={spec.evaluators}); set evaluators=0: "
                "the workers validate."
            )
        wanted = spec.servers
        if wanted != len(self.servers):
            raise UsageError(
                f"the parameter servers of a run must be those of the cluster (got strategy.servers={wanted}, and "
                f"{len(self.servers)} ps tasks in {VARIABLE}); set strategy.servers, or change the cluster."
            )


def read_cluster(environment: Mapping[str, str] | None = None) -> Cluster:
    """From TF_CONFIG of this process; UsageError for one that is missing or means nothing."""
    text = (os.environ if environment is None else environment).get(VARIABLE, "")
    if not text:
        raise UsageError(f"a cluster is described by the environment variable {VARIABLE}, which is not set: {_EXAMPLE}")
    return parse(text)


def parse(text: str) -> Cluster:
    if len(text) > _LARGEST_BYTES:
        raise _refused(f"it has {len(text)} characters, and {_LARGEST_BYTES} is the most")
    try:
        document = msgspec.json.decode(text.encode(errors="replace"), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _refused(f"it is no JSON object: {error}") from error
    if "sparseCluster" in document:
        raise _refused("it names the hosts of one task only (sparseCluster); turn dynamic workers off")
    addresses = _addresses(document.get("cluster"))
    tasks = {kind: tuple(task for task in addresses if task.type == kind) for kind in _TYPES}
    workers = tasks["chief"] + tasks["worker"]
    if not workers:
        raise _refused("its cluster names neither a chief nor a worker")
    if len(tasks["chief"]) > 1:
        raise _refused(f"its cluster names {len(tasks['chief'])} chiefs, and one is the most")
    return Cluster(workers, tasks["ps"], addresses, _own_task(document.get("task"), addresses))


def printed(workers: Sequence[str], servers: Sequence[str] = ()) -> dict[str, str]:
    """The text of TF_CONFIG by task, for hosts as HOST or HOST:PORT; the first worker is the chief."""
    cluster: dict[str, list[str]] = {"chief": list(workers[:1]), "worker": list(workers[1:]), "ps": list(servers)}
    cluster = {kind: [_with_port(text) for text in texts] for kind, texts in cluster.items() if texts}
    tasks = [{"type": kind, "index": index} for kind, texts in cluster.items() for index in range(len(texts))]
    texts = {
        f"{task['type']} {task['index']}": msgspec.json.encode({"cluster": cluster, "task": task}).decode()
        for task in tasks
    }
    for text in texts.values():
        parse(text)
    return texts


def _with_port(text: str) -> str:
    return text if ":" in text else f"{text}:{DEFAULT_PORT}"


def _addresses(document: object) -> dict[Task, Address]:
    """By task, in the order of their types and indices."""
    try:
        lists = msgspec.convert(document, dict[str, list[str]])
    except msgspec.ValidationError as error:
        raise _refused(f"its cluster must be lists of HOST:PORT by type of task: {error}") from error
    lists = {"chief" if kind == "master" else kind: texts for kind, texts in lists.items()}
    strange = set(lists) - {*_TYPES, "evaluator"}
    if strange:
        raise _refused(f"a cluster has tasks of types {', '.join(_TYPES)} (got {', '.join(sorted(strange))})")
    found = {
        Task(type=kind, index=index): _address(text)  # type: ignore[arg-type]
        for kind in _TYPES
        for index, text in enumerate(lists.get(kind, ()))
    }
    if len(set(found.values())) < len(found):
        raise _refused("its cluster names an address twice")
    return found


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not host or ":" in host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise _refused(f"an address is HOST:PORT, with a name or an IPv4 address as host (got {text!r})")
    return Address(host, int(port))


def _own_task(document: object, addresses: Mapping[Task, Address]) -> Task:
    if not isinstance(document, dict) or not {"type", "index"} <= set(document):
        raise _refused(f"its task must be an object with type and index (got {document!r})")
    kind = "chief" if document["type"] == "master" else document["type"]
    if kind == "evaluator":
        raise UsageError(
            "an evaluator has no part in a run: its chief validates (got task type 'evaluator' in TF_CONFIG); "
            "start none, and look at a run with: pileus evaluate RUN --data SOURCE"
        )
    index = str(document["index"])
    found = [task for task in addresses if (task.type, str(task.index)) == (kind, index)]
    if not found:
        known = ", ".join(map(str, addresses))
        raise _refused(f"its task must be one of its cluster: {known} (got {kind} {index})")
    return found[0]


def _refused(why: str) -> UsageError:
    return UsageError(f"{VARIABLE} cannot be used: {why}; it reads for example {_EXAMPLE}")
