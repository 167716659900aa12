import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from napari_chromocluster.cluster_types import CLUSTERS
from napari_chromocluster.training.data import composed_clusters
from napari_chromocluster.training.data.composed_clusters import (
    compose_set,
    composing_processes,
)
from napari_chromocluster.training.data.region_set import single_chromosomes


def test_composed_clusters_are_clusters_of_one_type(cut):
    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    composed = compose_set(singles, 30, 64, 0, list(CLUSTERS))
    assert len(composed) == 30
    assert (composed.allowed.sum(axis=1) == 1).all()
    assert composed.allowed[:, 1:4].sum() == 30


def test_only_groups_of_some_weight_are_composed_from(cut):
    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    first = min(singles)
    only = {name: float(name == first) for name in singles}
    made = compose_set(singles, 40, 48, 0, list(CLUSTERS), weights=only)
    alone = compose_set({first: singles[first]}, 40, 48, 0, list(CLUSTERS))
    assert np.array_equal(made.signal, alone.signal)


def test_groups_with_few_singles_together_weigh_what_they_weigh_alone(cut):
    large, small = list(single_chromosomes(cut.crops, cut.names, cut.groups).values())[:2]
    singles = {"a": large, "b": small[:3], "c": small[3:6]}
    weights = {"a": 1.0, "b": 0.0, "c": 0.0}
    made = compose_set(singles, 20, 48, 0, list(CLUSTERS), weights=weights)
    alone = compose_set({"a": large}, 20, 48, 0, list(CLUSTERS))
    assert np.array_equal(made.signal, alone.signal)


def test_a_group_may_have_any_name(cut):
    large, small = list(single_chromosomes(cut.crops, cut.names, cut.groups).values())[:2]
    few = {str(number): small[number::4] for number in range(4)}
    made = compose_set({"rest": large, **few}, 20, 48, 0, list(CLUSTERS))
    alike = compose_set({"some": large, **few}, 20, 48, 0, list(CLUSTERS))
    assert np.array_equal(made.signal, alike.signal)


def test_other_processes_compose_the_same_clusters(cut):
    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    made = {}
    for processes in (1, 2):
        reports = []
        made[processes] = compose_set(
            singles,
            60,
            48,
            0,
            list(CLUSTERS),
            progress=lambda *now, reports=reports: reports.append(now),
            processes=processes,
        )
        assert reports[-1] == (60, 60)
        # However few clusters a group has, the progress is reported.
        assert processes > 1 or len(reports) >= len(singles)
    assert np.array_equal(made[1].signal, made[2].signal)
    assert np.array_equal(made[1].allowed, made[2].allowed)


def test_clusters_are_composed_though_another_process_was_ended(cut, monkeypatch):
    class Ended(ProcessPoolExecutor):
        def submit(self, work, *arguments):
            return super().submit(os._exit, 1)

    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    here = compose_set(singles, 20, 48, 0, list(CLUSTERS))
    monkeypatch.setattr(composed_clusters, "ProcessPoolExecutor", Ended)
    made = compose_set(singles, 20, 48, 0, list(CLUSTERS), processes=2)
    assert np.array_equal(made.signal, here.signal)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C goes another way there")
def test_a_ctrl_c_which_reaches_all_processes_is_the_trainings_to_obey(cut):
    pressed = []

    def press(done, total):
        if 0 < done < total:  # other processes are working on the other groups
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGINT)
                pressed.append(child.pid)

    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    made = compose_set(singles, 200, 48, 0, list(CLUSTERS), progress=press, processes=2)
    assert pressed
    assert len(made) == 200


def test_a_stop_is_heard_while_other_processes_compose(cut):
    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    with pytest.raises(Stop):
        compose_set(singles, 60, 48, 0, list(CLUSTERS), progress=stop, processes=2)


def test_a_users_script_is_not_run_anew_by_processes_that_compose():
    # The tests are run by pytest, which is not a program of this package.
    assert composing_processes(100_000) == 1
    lines = (
        "import sys, types",
        "from napari_chromocluster.training.data import composed_clusters",
        "name = 'napari_chromocluster.training.__main__'",
        "sys.modules['__main__'].__spec__ = types.SimpleNamespace(name=name)",
        "import os; os.cpu_count = lambda: 9",
        "count = composed_clusters.composing_processes",
        "print(count(100_000), count(100_000, 3), count(100_000, 0, 4), count(1000), count(10))",
    )
    out = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["8", "3", "2", "2", "1"]
