"""Compose clusters for a training run from the single chromosomes of each metaphase.

The clusters of a group depend only on the seed and the group, so processes can share the groups.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_chromocluster.child_process import end_with_parent
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome, chromosome_width
from napari_chromocluster.imaging.cluster_synthesis import (
    ComposedCluster,
    iterate_clusters,
    natural_width,
)
from napari_chromocluster.imaging.crops import RegionCrop, square_crop
from napari_chromocluster.training.data.region_set import RegionSet, pack

Progress = Callable[[int, int], None]
#: Composes clusters endlessly from chromosomes, a seed, types in turn, and a width in px.
ClusterStream = Callable[
    [Sequence[SingleChromosome], int, Sequence[ClusterType], float], Iterator[ComposedCluster]
]
#: Minimum number of single chromosomes to compose the clusters of a group from.
_FEWEST_SINGLES = 5
#: Minimum number of clusters per process: one takes seconds to start.
_FEWEST_CLUSTERS = 500
#: Maximum number of processes: each holds a copy of the chromosomes of its groups.
_MOST_PROCESSES = 32


@dataclass(frozen=True)
class _Pool:
    """The input of composing the clusters of one group."""

    singles: list[SingleChromosome]
    count: int
    seed: int
    types: Sequence[ClusterType]
    size: int
    stream: ClusterStream


def composing_processes(clusters: int, threads: int = 0, trainings: int = 1) -> int:
    """Return how many processes may compose.

    More than one only in this package's own programs: spawned processes would run a user's
    script again, which may lack a ``__main__`` guard.

    Parameters
    ----------
    clusters : int
        Number of clusters to compose.
    threads : int
        Threads of the training; 0 means all cores but one.
    trainings : int
        Processes on this machine that compose at the same time.
    """
    if not _is_ours(sys.modules["__main__"]):
        return 1
    cores = threads or max(1, (os.cpu_count() or 1) - 1)
    return max(1, min(cores // trainings, clusters // _FEWEST_CLUSTERS, _MOST_PROCESSES))


def _is_ours(main: Any) -> bool:
    """Return whether the program is one of this package."""
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).startswith("napari_chromocluster.")
    return Path(getattr(main, "__file__", None) or "").name == "chromocluster"


def compose_set(
    singles: dict[str, list[SingleChromosome]],
    n: int,
    size: int,
    seed: int,
    types: Sequence[ClusterType],
    progress: Progress | None = None,
    processes: int = 1,
    weights: Mapping[str, float] | None = None,
    stream_of: Callable[[Sequence[str]], ClusterStream] | None = None,
) -> RegionSet:
    """Compose clusters, each from chromosomes of one group, and render them.

    Parameters
    ----------
    singles : dict of group to list of SingleChromosome
        See `single_chromosomes`; groups with few are pooled.
    n : int
        How many clusters.
    size : int
        Side of the crops, in px.
    seed : int
        The same seed gives the same clusters.
    types : sequence of ClusterType
        Composed in turn.
    progress : callable, optional
        Called with the number done and the total.
    processes : int
        Number of processes; it does not change the clusters.
    weights : mapping of group to float, optional
        Factor on how often each group is drawn.
    stream_of : callable, optional
        Returns how the clusters of the named groups are composed; other processes must be able
        to import it.
    """
    pools = _pools(singles, weights or {}, (n, size, seed), types, stream_of or _plain)
    if not pools:
        return pack([], [], [], size)
    report = progress or _silent
    if processes > 1 and len(pools) > 1:
        # If a process was killed, for example for lack of memory, this one composes everything.
        with suppress(BrokenProcessPool):
            composed = _compose_in_parallel(pools, min(processes, len(pools)), report)
            return RegionSet.concatenated(composed)
    parts: list[RegionSet] = []
    done = 0
    for pool in pools:
        parts.append(_compose(pool, partial(_report, report, done, n)))
        done += pool.count
        report(done, n)
    return RegionSet.concatenated(parts)


def _plain(groups: Sequence[str]) -> ClusterStream:
    return _compose_plain


def _compose_plain(
    singles: Sequence[SingleChromosome], seed: int, types: Sequence[ClusterType], width: float
) -> Iterator[ComposedCluster]:
    return iterate_clusters(singles, seed, types, width=width)


def _pools(
    singles: dict[str, list[SingleChromosome]],
    group_weights: Mapping[str, float],
    numbers: tuple[int, int, int],
    types: Sequence[ClusterType],
    stream_of: Callable[[Sequence[str]], ClusterStream],
) -> list[_Pool]:
    """Distribute the clusters among groups; ``numbers`` are their count, side and the seed."""
    n, size, seed = numbers
    weight_of = {name: group_weights.get(name, 1.0) for name in singles}
    many = sorted(name for name, pool in singles.items() if len(pool) >= _FEWEST_SINGLES)
    pools = [singles[name] for name in many]
    named: list[list[str]] = [[name] for name in many]
    factors = [weight_of[name] for name in many]
    # Groups with few singles are pooled.
    few = sorted(set(singles) - set(many))
    rest = [one for name in few for one in singles[name]]
    if len(rest) >= _FEWEST_SINGLES or (rest and not pools):
        pools.append(rest)
        named.append(few)
        factors.append(float(np.mean([weight_of[name] for name in few])))
    if not pools or n == 0:
        return []
    rng = np.random.default_rng([seed, 77])
    weights = np.array([draw_weight(pool) for pool in pools])
    weights *= factors
    drawn = rng.choice(len(pools), size=n, p=weights / weights.sum())
    shared = [
        _Pool(
            pool,
            int((drawn == number).sum()),
            seed * 100_003 + number,
            [types[(number + k) % len(types)] for k in range(len(types))],
            size,
            stream_of(named[number]),
        )
        for number, pool in enumerate(pools)
    ]
    return [pool for pool in shared if pool.count]


def _compose(pool: _Pool, report: Callable[[int], None] | None = None) -> RegionSet:
    """Compose the clusters of one group and report the number done now and then."""
    width = natural_width(pool.singles)
    reference = _working_reference(pool.singles, width)
    stream = pool.stream(pool.singles, pool.seed, pool.types, width)
    crops: list[RegionCrop] = []
    names: list[str] = []
    for number in range(1, pool.count + 1):
        made = next(stream)
        crops.append(square_crop(made.signal, made.mask, reference=reference))
        names.append(str(made.cluster_type))
        if report is not None and number % 25 == 0:
            report(number)
    return pack(crops, names, ["composed"] * pool.count, pool.size)


def _compose_in_parallel(
    pools: Sequence[_Pool], processes: int, report: Progress
) -> list[RegionSet]:
    """Compose the clusters of each group in other processes, large groups first."""
    order = sorted(range(len(pools)), key=lambda place: -pools[place].count)
    n = sum(pool.count for pool in pools)
    # Fork is not safe once torch has started its threads.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(processes, context, _begin_worker)
    others = set(multiprocessing.active_children())
    try:
        futures = {place: executor.submit(_compose, pools[place]) for place in order}
        waiting = set(futures.values())
        while waiting:
            # Call `report` often: it raises when the user stops, also within a large group.
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            report(sum(pools[one].count for one in futures if futures[one].done()), n)
        return [futures[place].result() for place in range(len(pools))]
    except BaseException:
        # The results are no longer needed: do not wait for a large group to finish.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """End with the training, and ignore Ctrl+C, which a terminal sends to all processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _report(report: Progress, before: int, n: int, more: int) -> None:
    report(before + more, n)


def _silent(done: int, total: int) -> None:
    """Report nothing."""


def draw_weight(pool: Sequence[SingleChromosome]) -> float:
    """Return how often a group is drawn, relative to others: large groups less than by number."""
    return float(len(pool) ** 0.5)


def _working_reference(pool: Sequence[SingleChromosome], width: float) -> float:
    """Return the reference size of a group in px, at the width used for composing."""
    sizes = [
        float(np.sqrt(one.mask.sum())) * width / max(chromosome_width(one.mask), 2.0)
        for one in pool[:60]
    ]
    return float(np.median(sizes))
