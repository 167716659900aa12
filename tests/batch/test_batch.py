"""Many metaphases: names, resuming, failures, workers and a cluster."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile
from PIL import Image

from napari_chromocluster.batch import BatchError, find_images, run_batch
from napari_chromocluster.batch.many import unique_names
from napari_chromocluster.batch.workers import classify_job
from napari_chromocluster.cli import main
from napari_chromocluster.imaging.io import ImageError
from napari_chromocluster.imaging.synthetic import synthetic_metaphase
from napari_chromocluster.results.table import read_table, set_types, write_table


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    return synthetic_metaphase(seed=3, chromosomes=12).image


@pytest.fixture
def slides(tmp_path, small):
    """Two images of one name in two folders."""
    for name in ("a", "b"):
        (tmp_path / "slides" / name).mkdir(parents=True)
        Image.fromarray(small).save(tmp_path / "slides" / name / "m.png")
    return tmp_path / "slides"


def folders(slides):
    return [slides / "a", slides / "b"]


def test_images_of_files_folders_and_patterns(slides, tmp_path):
    everything = sorted(slides.glob("*/m.png"))
    assert find_images(folders(slides)) == everything
    assert find_images([str(slides / "*" / "*.png"), slides / "a" / "m.png"]) == everything
    (slides / "a" / "m_overlay.png").touch()
    (slides / "a" / "notes.txt").touch()
    assert find_images([slides / "a"]) == [slides / "a" / "m.png"]
    with pytest.raises(ImageError, match="does not exist"):
        find_images([slides / "none*"])
    with pytest.raises(ImageError, match="no image"):
        find_images([slides])


def test_names_are_unique(tmp_path):
    def named(*names):
        return unique_names([tmp_path / name for name in names])

    assert named("a/x.tif", "a/y.tif") == ["x", "y"]
    assert named("a/x.tif", "b/X.tif", "b/y.tif") == ["a_x", "b_X", "y"]
    assert named("a/x.tif", "a/x.png") == ["a_x_tif", "a_x_png"]
    deep = named("1/a/x.tif", "2/a/x.tif")
    assert len(set(deep)) == 2


def test_summary_of_a_batch(slides, tiny_model, tmp_path):
    seen = []
    result = run_batch(folders(slides), tmp_path / "out", model=tiny_model,
                       progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert seen == [(1, 2), (2, 2)]
    assert not result.failures
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert sorted(summary["metaphase"]) == ["a_m", "b_m"]
    assert summary["score"].between(0, 100).all()
    assert set(summary["image"]) == {str(path) for path in slides.glob("*/m.png")}
    regions = pd.read_csv(tmp_path / "out" / "all_regions.csv")
    assert len(regions) == len(read_table(tmp_path / "out" / "a_m_regions.csv")) * 2
    assert (tmp_path / "out" / "summary_overlay.png").exists()


def test_finished_images_are_passed_over(slides, tiny_model, tmp_path):
    out = tmp_path / "out"
    first = run_batch(folders(slides), out, model=tiny_model)
    table = out / "a_m_regions.csv"
    when = table.stat().st_mtime_ns
    again = run_batch(folders(slides), out, model=tiny_model)
    assert (first.skipped, again.skipped) == (0, 2)
    assert table.stat().st_mtime_ns == when
    pd.testing.assert_frame_equal(first.summary, again.summary)
    assert run_batch(folders(slides), out, model=tiny_model, overwrite=True).skipped == 0
    assert table.stat().st_mtime_ns > when


def test_a_changed_image_or_a_lost_table_is_done_again(slides, tiny_model, tmp_path, small):
    out = tmp_path / "out"
    run_batch(folders(slides), out, model=tiny_model)
    Image.fromarray(small[:, ::-1]).save(slides / "a" / "m.png")
    assert run_batch(folders(slides), out, model=tiny_model).skipped == 1
    (out / "b_m_regions.csv").unlink()
    with (out / "batch.jsonl").open("a") as stream:
        stream.write('{"name": "torn')
    assert run_batch(folders(slides), out, model=tiny_model).skipped == 1


def test_one_bad_file_does_not_stop_the_rest(slides, tiny_model, tmp_path, capfd):
    (slides / "a" / "bad.tif").write_text("no image")
    status = main(["batch", str(slides / "*" / "*"), "-o", str(tmp_path / "out"),
                   "--model", str(tiny_model)])  # fmt: skip
    printed = capfd.readouterr()
    assert status == 1
    assert "2 metaphases" in printed.out
    assert "bad.tif is not an image" in printed.err
    assert "Traceback" not in printed.err


def test_types_that_a_human_decided_are_kept(slides, tiny_model, tmp_path):
    out = tmp_path / "out"
    run_batch([slides / "a"], out, model=tiny_model)
    path = out / "m_regions.csv"
    write_table(path, set_types(read_table(path), [1], "overlapping"))
    kept = path.read_bytes()
    result = run_batch([slides / "a"], out, model=tiny_model, overwrite=True)
    assert "a human decided" in result.failures[str(slides / "a" / "m.png")]
    assert path.read_bytes() == kept
    again = run_batch([slides / "a"], out, model=tiny_model)
    assert again.summary["overlapping"][0] >= 1


def test_each_frame_of_a_stack_is_a_metaphase(tmp_path, tiny_model, small, capsys):
    tifffile.imwrite(tmp_path / "s.tif", np.stack([small, small[::-1]]), photometric="minisblack")
    arguments = ["batch", str(tmp_path / "s.tif"), "-o", str(tmp_path / "out"), "--json"]
    assert main([*arguments, "--model", str(tiny_model)]) == 0
    rows = json.loads(capsys.readouterr().out)["summary"]
    assert sorted(row["metaphase"] for row in rows) == ["s_000", "s_001"]


def test_two_workers_give_the_same(slides, tiny_model, tmp_path):
    alone = run_batch(folders(slides), tmp_path / "one", model=tiny_model)
    result = run_batch(folders(slides), tmp_path / "two", model=tiny_model, workers=2)
    assert not result.failures
    pd.testing.assert_frame_equal(result.summary, alone.summary)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of POSIX")
def test_workers_end_with_a_batch_that_is_killed(small, tiny_model, tmp_path):
    for number in range(40):
        Image.fromarray(small).save(tmp_path / f"m{number}.png")
    out = tmp_path / "out"
    program = "import sys; from napari_chromocluster.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["batch", tmp_path, "-o", out, "--model", tiny_model, "--workers", "2"]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as batch:
        # A worker that is still starting ends by itself.
        while not list(out.glob("m*.csv")) and batch.poll() is None:
            time.sleep(0.05)
        workers = psutil.Process(batch.pid).children(recursive=True)
        batch.kill()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def test_on_a_dask_cluster(slides, tiny_model, tmp_path):
    distributed = pytest.importorskip("distributed")
    (slides / "b" / "m.png").write_text("no image")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        result = run_batch(
            folders(slides), tmp_path / "out", model=tiny_model, scheduler=cluster.scheduler_address
        )
    assert list(result.summary["metaphase"]) == ["a_m"]
    assert "not an image" in result.failures[str(slides / "b" / "m.png")]


def test_no_scheduler_and_no_worker(slides, tiny_model, tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(BatchError, match="no dask scheduler"):
        run_batch([slides / "a"], tmp_path / "out", model=tiny_model, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(BatchError, match="at least one worker"):
        run_batch([slides / "a"], tmp_path / "out", model=tiny_model, workers=0)


def test_whatever_a_worker_meets_comes_back_as_a_sentence(tmp_path, monkeypatch, small):
    from napari_chromocluster.batch import workers

    Image.fromarray(small).save(tmp_path / "m.png")

    def broken(model, device):
        raise RuntimeError("the device\nis gone")

    monkeypatch.setattr(workers, "load_once", broken)
    job = workers.Job(str(tmp_path / "m.png"), "m", str(tmp_path), "default", "cpu")
    assert classify_job(job) == "the device is gone"
