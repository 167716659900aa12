"""Closing napari at any moment during any work: the process ends, and no decision is lost."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from napari_chromocluster.viewer.review.store import find_saved, image_hash, load_saved
from review_dock import MADE

SCRIPT = Path(__file__).with_name("closing_process.py")
#: Seconds from closing the window to the end of the process, without what it waited for a
#: processor; on a slow machine, so many times what closing takes without any work.
LIMIT, TIMES = 3.0, 2.0
#: Seconds waited for disk and memory on a busy machine, for each second without a processor.
BUSY = 0.5
#: Seconds after which a process hangs, on any machine.
HANGS = 300
#: Kinds of work that take less than a second.
SHORT = ("rank", "save")
KINDS = (
    "find", "classify", "explain", "review", "train", *SHORT, "count", "script", "load",
)  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how busy it is")


class Closings:
    """Closes napari during work, and knows how long that takes without work."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.idle = folder, []
        #: By kind of work, seconds by the clock and without what was waited for a processor.
        self.seconds: dict[str, list[tuple[float, float]]] = {}
        self.errors = (folder / "errors.txt").open("w+")
        self.server = subprocess.Popen(
            [sys.executable, "-u", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors, text=True, env={**os.environ, "NAPARI_CONFIG": ""},
        )  # fmt: skip

    def close_during(self, kind: str, moment: str, timed: bool = False) -> None:
        """Close napari at some moment of some work; fail if anything is wrong afterwards."""
        number = sum(map(len, self.seconds.values()))
        folder = self.folder / str(number)
        job = {
            "folder": str(folder), "kind": kind, "moment": moment, "seed": number, "limit": HANGS,
        }  # fmt: skip
        self.server.stdin.write(f"{json.dumps(job)}\n")
        self.server.stdin.flush()
        line = self.server.stdout.readline()
        assert line, Path(self.errors.name).read_text()[-3000:]
        ended, log = json.loads(line), (folder / "log.txt").read_text()[-3000:]
        assert ended["status"] == 0, (kind, moment, ended, log)
        assert "Traceback" not in log, (kind, moment, log)
        own = ended["seconds"] - ended["waited"]
        if kind == "nothing":
            self.idle.append(own)
        self.seconds.setdefault(kind, []).append((ended["seconds"], own))
        limit = max(LIMIT, TIMES * statistics.median(self.idle)) + BUSY * ended["waited"]
        assert own < limit or not timed, (kind, moment, ended, limit, log)
        self.check_decisions(folder)

    def check_decisions(self, folder: Path) -> None:
        decided = json.loads((folder / "closed.json").read_text())["decided"]
        assert decided
        reviews = [folder / "home" / "reviews"]
        saved = load_saved(find_saved(reviews, image_hash(MADE.image)))
        rows = saved.table.set_index("index")
        for label, kind in decided.items():
            row = rows.loc[int(label)]
            assert (row["cluster_type"], row["source"]) == (kind, "human"), (label, kind, row)

    def report(self) -> None:
        work = [one for kind, all in self.seconds.items() for one in all if kind != "nothing"]
        for kind, found in (*self.seconds.items(), ("any work", work)):
            for clock, seconds in zip(
                ("by the clock", "own"), zip(*found, strict=True), strict=True
            ):
                print(
                    f"{kind}, {clock}: {len(found)} closings, median "
                    f"{statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s"
                )

    def end(self) -> None:
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()
        self.errors.close()


@pytest.fixture(scope="module")
def closings(tmp_path_factory):
    closings = Closings(tmp_path_factory.mktemp("closings"))
    yield closings
    closings.report()
    closings.end()


@pytest.mark.timeout(1800)
def test_napari_ends_when_it_is_closed_during_any_work(closings):
    moments = random.Random(1)
    closings.close_during("nothing", "0.2")
    for kind in ("find", "classify", "explain", "review", "train", "rank", "script"):
        closings.close_during(kind, f"{moments.uniform(0.0, 0.3 if kind in SHORT else 1.5):.3f}")


@pytest.mark.slow
@pytest.mark.timeout(14_400)
def test_napari_ends_at_fifty_moments(closings):
    moments = random.Random(0)
    for number in range(50):
        kind = KINDS[number % len(KINDS)]
        if kind == KINDS[0]:
            closings.close_during("nothing", "0.2", timed=True)
        moment = f"{moments.uniform(0.0, 0.3 if kind in SHORT else 3.0):.3f}"
        if kind in ("find", "classify", "explain") and moments.random() < 0.3:
            moment = "end"
        closings.close_during(kind, moment, timed=True)
