"""What workers and hosts used over time, drawn: processor and memory of each worker, network and disks of each host.

Between two looks a counter's difference over their time is exact, so a curve is of steps, not of guesses between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pileus.measure.figures import COLOURS, drawn
from pileus.spec.usage import Look, Use, Watched

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (5.6, 2.9)
_MOST_NAMED = 8
"""Curves that are named in a figure."""
_GAP_S = 10.0
"""Between two gangs, as drawn: nobody wants to see the night between a run and its resuming."""
_MB = 1e6

Read = Callable[[Look], float | None]


class Curve(NamedTuple):
    """`values[i]` holds from `seconds[i]` to `seconds[i + 1]`; None: nobody was there."""

    name: str
    seconds: list[float]
    values: list[float]
    is_again: bool = False
    """Of a gang after the first, whose workers are named already."""


class Total(NamedTuple):
    """Of one worker, over all the time that it was watched."""

    worker: str
    host: str
    seconds: float
    cores: float
    """Busy, on the mean."""
    most_bytes: int
    read_bytes: int | None
    written_bytes: int | None


def totals(use: Use) -> list[Total]:
    """By worker, over all gangs, in the order of their coming. Those that were seen but once are left out."""
    found: dict[str, Total] = {}
    for watched in use.watched:
        if len(watched.looks) < 2:
            continue
        first, last = watched.looks[0], watched.looks[-1]
        before = found.get(watched.worker)
        seconds, cpu_s = last.at_s - first.at_s, last.cpu_s - first.cpu_s
        most = max(look.memory_bytes for look in watched.looks)
        read, written = _grown(last.read_bytes, first.read_bytes), _grown(last.written_bytes, first.written_bytes)
        if before is not None:
            cpu_s, seconds = cpu_s + before.cores * before.seconds, seconds + before.seconds
            most = max(most, before.most_bytes)
            read, written = _sum(read, before.read_bytes), _sum(written, before.written_bytes)
        cores = cpu_s / seconds if seconds else 0.0
        found[watched.worker] = Total(watched.worker, watched.host, seconds, cores, most, read, written)
    return list(found.values())


def usage_figures(use: Use) -> dict[str, str]:
    """SVG by name: cpu, memory, network, disk. Empty where nobody looked twice. MissingExtra without matplotlib."""
    shifts = _shifts(use)
    if not shifts:
        return {}
    hosts = _by_host(use)
    cpu = [*_curves(use.watched, shifts, lambda look: look.cpu_s)]
    cpu += [_renamed(curve, "all") for curve in _curves(hosts, shifts, lambda look: look.host_cpu_s)]
    memory = [*_levels(use.watched, shifts, lambda look: look.memory_bytes / _MB)]
    return {
        "cpu": _figure("cpu", "Cores busy with each worker, and with all on its host", cpu, "busy cores"),
        "memory": _figure("memory", "Memory of each worker", memory, "memory, MB"),
        "network": _figure(
            "network",
            "Network of each host, the loopback included",
            [
                *_named(_curves(hosts, shifts, lambda look: _mb(look.host_received_bytes)), "received"),
                *_named(_curves(hosts, shifts, lambda look: _mb(look.host_sent_bytes)), "sent"),
            ],
            "network, MB/s",
        ),
        "disk": _figure(
            "disk",
            "Disks of each host",
            [
                *_named(_curves(hosts, shifts, lambda look: _mb(look.host_read_bytes)), "read"),
                *_named(_curves(hosts, shifts, lambda look: _mb(look.host_written_bytes)), "written"),
            ],
            "disks, MB/s",
        ),
    }


def _figure(name: str, label: str, curves: Sequence[Curve], unit: str) -> str:
    names = list(dict.fromkeys(curve.name for curve in curves))

    def draw(axes: Axes) -> None:
        for curve in curves:
            place = names.index(curve.name)
            label = curve.name if not curve.is_again and place < _MOST_NAMED else None
            values = [*curve.values, curve.values[-1]]
            axes.step(
                curve.seconds,
                values,
                where="post",
                color=COLOURS[place % len(COLOURS)],
                linewidth=1.2,
                alpha=0.9,
                label=label,
            )
        axes.set_ylim(bottom=0)
        axes.set(xlabel="seconds", ylabel=unit)
        if curves:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        else:
            axes.text(0.5, 0.5, "the system does not tell", ha="center", transform=axes.transAxes)

    return drawn(f"use-{name}", label, draw, size=_SIZE)


def _shifts(use: Use) -> dict[int, float]:
    """By gang, what to take from the time of a look: gangs are drawn one after the other, with no more than a small gap
    between them. Gangs in which nobody was seen twice are not there."""
    spans: dict[int, tuple[float, float]] = {}
    for each in use.watched:
        if len(each.looks) > 1:
            first, last = spans.get(each.attempt, (each.looks[0].at_s, each.looks[-1].at_s))
            spans[each.attempt] = min(first, each.looks[0].at_s), max(last, each.looks[-1].at_s)
    shifts: dict[int, float] = {}
    ended, at = 0.0, 0.0
    for attempt, (first, last) in sorted(spans.items(), key=lambda span: span[1]):
        at += min(max(0.0, first - ended), _GAP_S) if shifts else 0.0
        shifts[attempt] = first - at
        at, ended = at + last - first, last
    return shifts


def _by_host(use: Use) -> list[Watched]:
    """The looks at each host in each gang, of all workers there, in the order of time."""
    looks: dict[tuple[int, str], list[Look]] = {}
    someone: dict[tuple[int, str], Watched] = {}
    for each in use.watched:
        looks.setdefault((each.attempt, each.host), []).extend(each.looks)
        someone[each.attempt, each.host] = each
    return [
        Watched(
            worker=host,
            host=host,
            cores=someone[attempt, host].cores,
            attempt=attempt,
            looks=tuple(_apart(sorted(found, key=lambda look: look.at_s))),
        )
        for (attempt, host), found in looks.items()
    ]


def _apart(looks: Sequence[Look]) -> Iterator[Look]:
    """Those at least half a second after the one before, and the last: rates over less are noise."""
    before = float("-inf")
    for look in looks:
        if look.at_s - before >= 0.5 or (look is looks[-1] and look.at_s > before):
            before = look.at_s
            yield look


def _curves(watched: Iterable[Watched], shifts: dict[int, float], read: Read) -> Iterator[Curve]:
    """Growth a second of a counter."""
    met: set[str] = set()
    for each in watched:
        looks = [look for look in _apart(each.looks) if read(look) is not None]
        if each.attempt in shifts and len(looks) > 1:
            values = [
                max(0.0, ((read(after) or 0.0) - (read(before) or 0.0)) / (after.at_s - before.at_s))
                for before, after in itertools.pairwise(looks)
            ]
            yield _curve(each, looks, values, shifts, met)


def _levels(watched: Iterable[Watched], shifts: dict[int, float], read: Callable[[Look], float]) -> Iterator[Curve]:
    """A figure as it stands."""
    met: set[str] = set()
    for each in watched:
        looks = list(_apart(each.looks))
        if each.attempt in shifts and len(looks) > 1:
            yield _curve(each, looks, [read(look) for look in looks[1:]], shifts, met)


def _curve(each: Watched, looks: Sequence[Look], values: list[float], shifts: dict[int, float], met: set[str]) -> Curve:
    is_again = each.worker in met
    met.add(each.worker)
    return Curve(each.worker, [look.at_s - shifts[each.attempt] for look in looks], values, is_again)


def _named(curves: Iterable[Curve], what: str) -> Iterator[Curve]:
    return (_renamed(curve, what) for curve in curves)


def _renamed(curve: Curve, what: str) -> Curve:
    return curve._replace(name=f"{curve.name}: {what}")


def _mb(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / _MB


def _grown(last: int | None, first: int | None) -> int | None:
    return None if last is None or first is None else last - first


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
