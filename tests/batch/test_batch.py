"""Batch processing: names, resuming, failures, workers and a cluster."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile
from PIL import Image

import killing
from napari_chromocluster.batch import (
    BatchError,
    dask_cluster,
    executors,
    find_images,
    jobs,
    merged_tables,
    run_batch,
    runner,
)
from napari_chromocluster.batch.images import not_read
from napari_chromocluster.batch.jobs import Job, classify_job
from napari_chromocluster.batch.output_names import unique_names
from napari_chromocluster.batch.pipeline import segment_to_files
from napari_chromocluster.batch.runner import folder_lock
from napari_chromocluster.cli import main
from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.models.model_card import ModelFileError
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.results import figures
from napari_chromocluster.results.features_table import revert_to_model, set_types
from napari_chromocluster.results.table_files import read_table, write_table


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    return synthetic_metaphase(seed=3, chromosomes=12).image


@pytest.fixture
def slides(tmp_path, small):
    """Two images of the same name in two folders."""
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


def test_a_pattern_in_a_folder_with_brackets(tmp_path, small):
    folder = tmp_path / "[2026] slides"
    (folder / "deep").mkdir(parents=True)
    for path in (folder / "m.png", folder / "deep" / "n.png"):
        Image.fromarray(small).save(path)
    assert find_images([str(folder / "*.png")]) == [folder / "m.png"]
    assert len(find_images([str(folder / "**" / "*.png")])) == 2
    assert find_images([str(tmp_path / "[[]2026*" / "[a-m].png")]) == [folder / "m.png"]


def test_files_that_are_not_read_are_named(slides):
    for name in ("a.czi", "b.nd2", "notes.txt", ".hidden.lif"):
        (slides / "a" / name).touch()
    assert not_read([slides / "b"]) == ()
    said = not_read([slides / "a"])
    assert said == (f"not read in {slides / 'a'}: a.czi, b.nd2 (save images as TIFF or PNG)",)
    (slides / "a" / "m.png").unlink()
    with pytest.raises(ImageError, match=r"a\.czi, b\.nd2 .*There is no image"):
        find_images([slides / "a"])


def test_no_figure_ends_a_batch(slides, tiny_model, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such font")

    monkeypatch.setattr(figures, "batch_chart", broken)
    result = run_batch(folders(slides), tmp_path / "out", model=tiny_model)
    assert len(result.summary) == 2
    assert list(result.failures.values()) == ["no such font"]


def test_names_are_unique(tmp_path):
    def named(*names):
        return unique_names([tmp_path / name for name in names])

    assert named("a/x.tif", "a/y.tif") == ["x", "y"]
    assert named("a/x.tif", "b/X.tif", "b/y.tif") == ["a_x", "b_X", "y"]
    assert named("a/x.tif", "a/x.png") == ["a_x_tif", "a_x_png"]
    deep = named("1/a/x.tif", "2/a/x.tif")
    assert len(set(deep)) == 2


def test_the_summary_says_which_pictures_are_unlike_the_training(
    slides, tiny_model, unlike_model, tmp_path
):
    out = tmp_path / "out"
    run_batch(folders(slides), out, model=tiny_model)
    assert pd.read_csv(out / "summary.csv")["familiar"].isna().all()
    run_batch(folders(slides), out, model=unlike_model)
    assert not pd.read_csv(out / "summary.csv")["familiar"].any()
    # The familiarity of finished images is known when the batch is run again.
    (out / "a_m_regions.csv").unlink()
    run_batch(folders(slides), out, model=unlike_model)
    assert not pd.read_csv(out / "summary.csv")["familiar"].isna().any()


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


def test_parquet_holds_what_the_csv_holds(slides, unlike_model, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    monkeypatch.setattr(merged_tables, "_CHUNK", 1)
    run = ["batch", *map(str, folders(slides)), "-o", str(out), "--model", str(unlike_model)]
    assert main([*run, "--parquet"]) == 0
    for name in ("summary", "all_regions"):
        csv, parquet = pd.read_csv(out / f"{name}.csv"), pd.read_parquet(out / f"{name}.parquet")
        pd.testing.assert_frame_equal(csv, parquet, check_dtype=False)
    assert parquet["stale"].dtype == bool
    assert parquet["area"].dtype == float
    one = pd.read_parquet(out / "all_regions.parquet", filters=[("metaphase", "==", "b_m")])
    assert len(one) == len(read_table(out / "b_m_regions.csv"))
    # Columns that a user added, numbers in one table and words in the other, and a later run
    # without the option.
    for name, values in (("a_m", "1"), ("b_m", "left")):
        table = read_table(out / f"{name}_regions.csv")
        write_table(out / f"{name}_regions.csv", table.assign(side=values, depth=2.5))
    assert main(run) == 0
    regions = pd.read_parquet(out / "all_regions.parquet")
    assert list(regions.groupby("metaphase")["side"].first()) == ["1", "left"]
    assert set(regions["depth"]) == {2.5}
    assert set(pd.read_csv(out / "all_regions.csv")["side"]) == {"1", "left"}


def test_parquet_that_is_not_installed_is_one_sentence(
    slides, tiny_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    arguments = ["batch", str(slides / "a"), "-o", str(tmp_path / "out"), "--parquet"]
    assert main([*arguments, "--model", str(tiny_model)]) == 2
    assert "pip install 'napari-chromocluster[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_overlays(slides, tiny_model, tmp_path):
    out = tmp_path / "out"
    run_batch([slides / "a"], out, model=tiny_model)
    assert (out / "m_overlay.png").exists()
    run = ["batch", str(slides / "a"), "-o", str(out), "--model", str(tiny_model), "--overwrite"]
    assert main([*run, "--no-overlays"]) == 0
    left = {path.name for path in out.iterdir()}
    assert left == {
        "m_labels.tif", "m_regions.csv", "summary.csv", "all_regions.csv", "batch.jsonl",
        "summary_overlay.png",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps free memory")
def test_memory_does_not_grow_with_the_files(slides, tiny_model, tmp_path):
    job = Job(str(slides / "a" / "m.png"), "m", str(tmp_path), str(tiny_model), "cpu")
    sizes = []
    for _ in range(60):
        assert classify_job(job).frames
        sizes.append(psutil.Process().memory_info().rss)
    assert max(sizes[40:]) - max(sizes[10:30]) < 20e6
    assert max(sizes[10:]) - min(sizes[10:]) < 90e6, "figures of ten files"


def test_a_large_batch_charts_only_its_best(slides, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_CHARTED", 1)
    result = run_batch(folders(slides), tmp_path / "out", model=tiny_model)
    assert result.notes == ("summary_overlay.png shows the best 1 of 2 metaphases.",)


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


def test_another_number_of_chromosomes_is_another_batch(slides, tiny_model, tmp_path):
    out = tmp_path / "out"
    run_batch(folders(slides), out, model=tiny_model)
    mouse = run_batch(folders(slides), out, model=tiny_model, expected=40)
    assert mouse.skipped == 0
    again = run_batch(folders(slides), out, model=tiny_model, expected=40)
    assert again.skipped == 2
    pd.testing.assert_frame_equal(mouse.summary, again.summary)
    unknown = run_batch(folders(slides), out, model=tiny_model, expected=None)
    assert unknown.skipped == 0
    assert (unknown.summary["score"] >= mouse.summary["score"]).all()
    assert run_batch(folders(slides), out, model=tiny_model, expected=None).skipped == 2


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


def decide(table, label=1, kind="overlapping"):
    """Set the type of a region as a human decision; returns the content of the file."""
    write_table(table, set_types(read_table(table), [label], kind))
    return table.read_bytes()


def test_what_a_human_decided_counts_as_it_is(slides, tiny_model, tmp_path, capsys):
    out = tmp_path / "out"
    run_batch(folders(slides), out, model=tiny_model)
    table = out / "a_m_regions.csv"
    kept = decide(table)
    other = tmp_path / "other.safetensors"
    network, card = load_model_file(tiny_model)
    save_model(other, network, dataclasses.replace(card, name="other"))
    image = slides / "a" / "m.png"

    def holds(result, skipped, kept_ones=("a_m",)):
        assert not result.failures
        assert (result.skipped, result.kept) == (skipped, kept_ones)
        assert table.read_bytes() == kept
        summary = pd.read_csv(out / "summary.csv").set_index("metaphase")
        assert sorted(summary.index) == ["a_m", "b_m"]
        assert summary["overlapping"]["a_m"] >= 1
        assert set(pd.read_csv(out / "all_regions.csv")["metaphase"]) == {"a_m", "b_m"}

    holds(run_batch(folders(slides), out, model=tiny_model), 2, ())
    holds(run_batch(folders(slides), out, model=tiny_model, overwrite=True), 0)
    holds(run_batch(folders(slides), out, model=other), 0)
    holds(run_batch(folders(slides), out, model=other), 2)
    os.utime(image, (1, 1))
    arguments = ["batch", *map(str, folders(slides)), "-o", str(out), "--model", str(other)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "a human decided there: a_m" in printed.out
    assert "could not" not in printed.err
    # Without the decision the model's type is used again.
    write_table(table, revert_to_model(read_table(table), [1]))
    assert run_batch(folders(slides), out, model=other).kept == ()
    assert set(read_table(table)["model"]) == {"other"}


def test_each_frame_of_a_stack_is_a_metaphase(tmp_path, tiny_model, small, capsys):
    tifffile.imwrite(tmp_path / "s.tif", np.stack([small, small[::-1]]), photometric="minisblack")
    arguments = ["batch", str(tmp_path / "s.tif"), "-o", str(tmp_path / "out"), "--json"]
    assert main([*arguments, "--model", str(tiny_model)]) == 0
    rows = json.loads(capsys.readouterr().out)["summary"]
    assert sorted(row["metaphase"] for row in rows) == ["s_000", "s_001"]


def test_channels_are_no_metaphases(tmp_path, tiny_model, small):
    channels = np.stack([small, np.roll(small, 90, axis=0)])
    path = tmp_path / "c.tif"
    tifffile.imwrite(path, channels, imagej=True,
                     metadata={"axes": "CYX", "Labels": ["FITC", "DAPI"]})  # fmt: skip
    out = tmp_path / "out"
    found = run_batch(path, out, model=tiny_model)
    assert list(found.summary["metaphase"]) == ["c"]
    assert "channel 2 was read" in found.notes[0]
    other = run_batch(path, out, model=tiny_model, channel="FITC")
    assert (other.skipped, other.notes) == (0, ())
    assert list(other.summary["metaphase"]) == ["c"]


@pytest.fixture
def stack(tmp_path, small):
    """A stack whose second frame is blank."""
    path = tmp_path / "s.tif"
    frames = [small, np.full_like(small, 200), small[::-1]]
    tifffile.imwrite(path, np.stack(frames), photometric="minisblack")
    return path


def test_a_bad_frame_does_not_stop_the_rest_of_its_stack(stack, tiny_model, tmp_path):
    out = tmp_path / "out"

    def run():
        result = run_batch([stack], out, model=tiny_model)
        assert sorted(result.summary["metaphase"]) == ["s_000", "s_002"]
        assert list(result.failures) == [f"{stack}, frame 2"]
        assert "No chromosome" in result.failures[f"{stack}, frame 2"]

    run()
    when = (out / "s_000_regions.csv").stat().st_mtime_ns
    run()
    assert (out / "s_000_regions.csv").stat().st_mtime_ns == when, "what was finished stays"


def test_a_reviewed_frame_stays_and_the_others_are_done(stack, tiny_model, tmp_path):
    out = tmp_path / "out"
    run_batch([stack], out, model=tiny_model)
    kept = decide(out / "s_002_regions.csv")
    when = (out / "s_000_regions.csv").stat().st_mtime_ns
    result = run_batch([stack], out, model=tiny_model, overwrite=True)
    assert result.kept == ("s_002",)
    assert sorted(result.summary["metaphase"]) == ["s_000", "s_002"]
    assert (out / "s_002_regions.csv").read_bytes() == kept
    assert (out / "s_000_regions.csv").stat().st_mtime_ns > when


def test_results_of_other_images_are_not_replaced(slides, tiny_model, tmp_path, small):
    out = tmp_path / "out"
    Image.fromarray(small[::-1]).save(slides / "b" / "m.png")
    run_batch([slides / "a"], out, model=tiny_model)
    kept = (out / "m_regions.csv").read_bytes()
    for overwrite in (False, True):
        second = run_batch([slides / "b"], out, model=tiny_model, overwrite=overwrite)
        assert list(second.summary["metaphase"]) == ["b_m"]
        assert (out / "m_regions.csv").read_bytes() == kept
    both = run_batch(folders(slides), out, model=tiny_model)
    assert both.skipped == 2
    assert sorted(both.summary["metaphase"]) == ["b_m", "m"], "each keeps its name"


def test_names_go_on_after_an_interruption(tmp_path):
    files = [tmp_path / "a" / "m.tif", tmp_path / "b" / "m.tif"]
    records = {"a_m": {"image": str(files[0]), "frames": ["a_m"]}}
    assert unique_names(files, records) == ["a_m", "b_m"]


def test_frames_of_a_stack_and_a_file_of_such_a_name(stack, small, tiny_model, tmp_path):
    Image.fromarray(small).save(tmp_path / "s_000.tif")
    result = run_batch([stack, tmp_path / "s_000.tif"], tmp_path / "one", model=tiny_model)
    assert len(set(result.summary["metaphase"])) == 3
    assert sorted(result.summary["image"]) == sorted([str(stack)] * 2 + [
        str(tmp_path / "s_000.tif")])  # fmt: skip
    for first, second in ((stack, tmp_path / "s_000.tif"), (tmp_path / "s_000.tif", stack)):
        out = tmp_path / first.stem
        run_batch([first], out, model=tiny_model)
        kept = (out / "s_000_regions.csv").read_bytes()
        run_batch([second], out, model=tiny_model)
        assert (out / "s_000_regions.csv").read_bytes() == kept


def test_numbered_files_that_are_no_stacks_keep_their_names(tmp_path, small):
    files = [tmp_path / "x.png", tmp_path / "x_000.png", tmp_path / "x_001.png"]
    for file in files:
        Image.fromarray(small).save(file)
    assert unique_names(files) == ["x", "x_000", "x_001"]


def test_one_path_is_enough(slides, tiny_model, tmp_path):
    for given in (slides / "a", str(slides / "a")):
        assert len(run_batch(given, tmp_path / "out", model=tiny_model).summary) == 1


def test_a_log_has_a_line_for_each_image(slides, stack, tiny_model, tmp_path, capfd):
    (slides / "a" / "bad.tif").write_text("no image")
    images = [*map(str, folders(slides)), str(stack)]
    status = main(["batch", *images, "-o", str(tmp_path / "out"), "--model", str(tiny_model)])
    assert status == 1
    lines = capfd.readouterr().err.splitlines()
    assert "1 of 4: bad could not be done" in lines
    assert "2 of 4: a_m" in lines
    assert "3 of 4: b_m" in lines
    assert "4 of 4: s, not all of its frames" in lines


def test_a_model_that_cannot_be_used_leaves_no_empty_folder(slides, tmp_path):
    (tmp_path / "bad.safetensors").write_text("no model")
    with pytest.raises(ModelFileError):
        run_batch([slides / "a"], tmp_path / "new" / "out", model=tmp_path / "bad.safetensors")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is a matter of POSIX")
@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_ctrl_c_says_how_to_go_on(small, tiny_model, tmp_path, workers):
    for number in range(40):
        Image.fromarray(small).save(tmp_path / f"m{number}.png")
    out = tmp_path / "out"
    # As on a terminal: if the tests run in the background, Ctrl+C is ignored, and children inherit
    # this.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from napari_chromocluster.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["batch", tmp_path, "-o", out, "--model", tiny_model, "--workers", workers]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    # A separate process group: as on a terminal, all of its processes get the signal.
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as batch:  # fmt: skip
        while not list(out.glob("m*.csv")) and batch.poll() is None:
            time.sleep(0.05)
        os.killpg(batch.pid, signal.SIGINT)
        _, said = batch.communicate(timeout=120)
    assert batch.returncode == 130
    assert said.splitlines()[-1] == (
        "chromocluster: Interrupted: run the same command again to continue."
    )
    assert "Traceback" not in said
    if workers != "1":  # jobs in progress are finished and recorded
        recorded = [json.loads(line)["name"] for line in (out / "batch.jsonl").open()]
        done = [path.stem.removesuffix("_regions") for path in out.glob("m*_regions.csv")]
        assert sorted(recorded) == sorted(done)


def test_two_workers_give_the_same(slides, tiny_model, tmp_path):
    alone = run_batch(folders(slides), tmp_path / "one", model=tiny_model)
    result = run_batch(folders(slides), tmp_path / "two", model=tiny_model, workers=2)
    assert not result.failures
    pd.testing.assert_frame_equal(result.summary, alone.summary)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of POSIX")
def test_a_killed_worker_takes_only_its_own_file_with_it(tmp_path):
    names = ["bad", "a", "once", "b"]
    jobs = [Job("", name, str(tmp_path), "", "cpu") for name in names]
    processes = executors.ProcessRunner(2, killing.work, killing.begin)
    try:
        outcomes = {job.name: outcome for job, outcome in processes.run(jobs)}
    finally:
        processes.close()
    assert sorted(outcomes) == sorted(names)
    assert {name for name, outcome in outcomes.items() if outcome.frames} == {"a", "b", "once"}
    assert "ended suddenly both times" in outcomes["bad"].failures[""]
    tries = {name: len((tmp_path / name).read_text()) for name in names}
    assert tries == {"bad": 2, "once": 2, "a": 1, "b": 1}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of POSIX")
def test_a_killed_worker_of_a_cluster_takes_only_its_own_file_with_it(tmp_path, monkeypatch):
    distributed, dask = pytest.importorskip("distributed"), pytest.importorskip("dask")
    monkeypatch.setenv("PYTHONPATH", str(Path(killing.__file__).parent))
    names = ["bad", "a", "b"]
    jobs = [Job("", name, str(tmp_path), "", "cpu") for name in names]
    # LocalCluster gives up on a worker 15 s after losing it, which may happen to a worker killed
    # twice on a busy machine.
    patient = dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    with (
        patient,
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        cluster_runner = dask_cluster.ClusterRunner(client, killing.work)
        outcomes = {job.name: outcome for job, outcome in cluster_runner.run(jobs)}
    assert {name for name, outcome in outcomes.items() if outcome.frames} == {"a", "b"}
    assert "ended suddenly both times" in outcomes["bad"].failures[""]
    assert len((tmp_path / "bad").read_text()) == 2
    assert not list(tmp_path.glob(".*"))


def test_a_scheduler_holds_a_limited_number_of_files(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(dask_cluster, "_AT_ONCE", 2)
    jobs = [Job("", f"m{n}", str(tmp_path), "", "cpu") for n in range(9)]
    held = []
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        done = []
        for job, _ in dask_cluster.ClusterRunner(client, killing.work).run(jobs):
            done.append(job.name)
            held.append(len(cluster.scheduler.tasks))
    assert sorted(done) == sorted(job.name for job in jobs)
    assert max(held) <= 3, "two, and one that was just done"


def test_an_interruption_keeps_the_records_of_what_is_finished(
    slides, tiny_model, tmp_path, monkeypatch
):
    class Interrupted(executors.SerialRunner):
        """Is interrupted when one job is done but not yielded yet."""

        def run(self, jobs):
            self.jobs = jobs
            yield jobs[0], classify_job(jobs[0])
            raise KeyboardInterrupt

        def finish(self):
            yield self.jobs[1], classify_job(self.jobs[1])

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(executors, "SerialRunner", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_batch(folders(slides), out, model=tiny_model)
    assert run_batch(folders(slides), out, model=tiny_model).skipped == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of POSIX")
def test_workers_end_with_a_batch_that_is_killed(small, tiny_model, tmp_path):
    for number in range(40):
        Image.fromarray(small).save(tmp_path / f"m{number}.png")
    out = tmp_path / "out"
    program = "import sys; from napari_chromocluster.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["batch", tmp_path, "-o", out, "--model", tiny_model, "--workers", "2"]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as batch:
        # A worker that is still starting ends on its own.
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
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        result = run_batch(
            folders(slides), tmp_path / "out", model=tiny_model, scheduler=cluster.scheduler_address
        )
    assert list(result.summary["metaphase"]) == ["a_m"]
    assert "not an image" in result.failures[str(slides / "b" / "m.png")]


def test_a_cell_without_chromosomes_is_refused_before_any_work(slides, tiny_model, tmp_path):
    with pytest.raises(BatchError, match="at least one chromosome, not 0"):
        run_batch([slides / "a"], tmp_path / "out", model=tiny_model, expected=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_no_scheduler_and_no_worker(slides, tiny_model, tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(BatchError, match="no dask scheduler"):
        run_batch([slides / "a"], tmp_path / "out", model=tiny_model, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(BatchError, match="at least one worker"):
        run_batch([slides / "a"], tmp_path / "out", model=tiny_model, workers=0)


@pytest.mark.parametrize("address", ["head", pytest.param("nonsense://", marks=pytest.mark.slow)])
def test_an_address_that_is_none_is_one_clear_line(slides, tmp_path, address):
    pytest.importorskip("distributed")
    program = "import sys; from napari_chromocluster.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["batch", slides / "a", "-o", tmp_path / "out", "--scheduler", address]
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == (
        f"chromocluster: There is no dask scheduler at {address}: start one first.\n"
    )


def test_whatever_a_worker_meets_comes_back_as_a_sentence(tmp_path, monkeypatch, small):
    Image.fromarray(small).save(tmp_path / "m.png")

    def broken(model, device):
        raise RuntimeError("the device\nis gone")

    monkeypatch.setattr(jobs, "cached_model", broken)
    job = Job(str(tmp_path / "m.png"), "m", str(tmp_path), "default", "cpu")
    assert classify_job(job).failures == {"": "the device is gone"}


# ------------------------------------------------------ files that are not images, full disks


def links_to_nothing(folder):
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "round.png").symlink_to("round.png")
    return [folder / "gone.png", folder / "round.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_lead_nowhere_are_told_and_the_others_done(slides, tiny_model, tmp_path):
    broken = links_to_nothing(slides / "a")
    for given in ([slides / "a"], [slides / "a" / "m.png", *broken]):
        result = run_batch(given, tmp_path / "out", model=tiny_model)
        assert list(result.summary["metaphase"]) == ["m"]
        assert set(result.failures) == {str(path) for path in broken}
        assert all("is a broken link" in one for one in result.failures.values())


def test_a_folder_is_no_image_whatever_its_name(slides, tmp_path):
    (slides / "a" / "x.tif").mkdir()
    assert find_images([slides / "a"]) == find_images([slides / "a" / "*"])
    with pytest.raises(ImageError) as error:
        find_images([slides])
    assert str(slides / "**" / "*.tif") in str(error.value)
    with pytest.raises(ImageError, match="name images or folders"):
        find_images([slides / "a" / "x.tif"])


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_a_sentence_and_hides_no_failure(
    slides, tiny_model, tmp_path, monkeypatch, capfd
):
    (slides / "a" / "bad.tif").write_text("no image")
    monkeypatch.setattr(runner, "_write_csv", full)
    monkeypatch.setattr(runner, "write_merged", full)
    monkeypatch.setattr(runner, "_write_record", full)
    arguments = ["batch", str(slides / "a"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--model", str(tiny_model)]) == 1
    said = capfd.readouterr().err
    assert "bad.tif is not an image" in said
    assert "2 of 2: m, but it could not be noted as finished" in said
    assert said.count("The disk is full: free some space and run the same command again.") == 3
    assert "Errno" not in said


def test_a_full_disk_while_one_is_classified(slides, tiny_model, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tifffile, "imwrite", full)
    command = ["classify", str(slides / "a" / "m.png"), "-o", str(tmp_path / "out")]
    assert main([*command, "--model", str(tiny_model)]) == 2
    assert capfd.readouterr().err == (
        "chromocluster: The disk is full: free some space and run the command again.\n"
    )


# ------------------------------------------------------ a failing cluster


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as one:
        yield one


def test_a_lost_scheduler_is_one_sentence(cluster, slides, tiny_model, tmp_path, monkeypatch):
    from dask.distributed import Future
    from distributed.client import FutureCancelledError

    def lost(future, timeout=None):
        raise FutureCancelledError(future.key, "scheduler-connection-lost")

    monkeypatch.setattr(Future, "exception", lost)
    with pytest.raises(BatchError, match="run the same command again to continue"):
        run_batch(
            folders(slides), tmp_path / "out", model=tiny_model, scheduler=cluster.scheduler_address
        )


def test_a_cluster_without_workers_is_told_and_waited_for(
    cluster, slides, tiny_model, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(dask_cluster, "_EVERY", 0.2)
    monkeypatch.setattr(dask_cluster, "_WITHOUT_WORKERS", 0.5)

    def lose(done, total):
        """Remove the workers after the first image, until the warning is logged."""
        if done == 1:
            cluster.scale(0)
            while "has no worker any more" not in caplog.text:
                time.sleep(0.1)
            cluster.scale(1)

    result = run_batch(
        folders(slides), tmp_path / "out", model=tiny_model, progress=lose,
        scheduler=cluster.scheduler_address,
    )  # fmt: skip
    assert len(result.summary) == 2
    assert caplog.text.count("has no worker any more") == 1


def test_results_that_a_shell_names_for_a_pattern_are_no_metaphases(slides, tiny_model, tmp_path):
    image = slides / "a" / "m.png"
    for end in ("_labels.tif", "_explanation.tif", "_overlay.png"):
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(image.with_name(f"m{end}"))
    assert find_images(sorted((slides / "a").iterdir())) == [image]
    alone = tmp_path / "what_overlay.png"  # an image that just has such a name
    Image.open(image).save(alone)
    assert find_images([alone]) == [alone]


def test_types_that_a_spreadsheet_changed_are_decisions(slides, tiny_model, tmp_path):
    out = tmp_path / "out"
    run_batch([slides / "a"], out, model=tiny_model)
    table = read_table(out / "m_regions.csv")
    other = next(str(kind) for kind in TYPES if str(kind) != table["cluster_type"][0])
    text = (out / "m_regions.csv").read_text()
    was = table["cluster_type"][0]
    (out / "m_regions.csv").write_text(text.replace(f",{was},", f",{other},", 1))
    result = run_batch([slides / "a"], out, model=tiny_model, overwrite=True)
    assert result.kept == ("m",)
    assert read_table(out / "m_regions.csv")["cluster_type"][0] == other
    with pytest.raises(BatchError, match="types that a human decided"):
        segment_to_files(read_image(slides / "a" / "m.png"), "m", out, threshold=1.4)
    assert (out / "m_regions.csv").exists()


def test_one_batch_at_a_time_in_a_folder(slides, tiny_model, tmp_path):
    pytest.importorskip("fcntl")
    out = tmp_path / "out"
    out.mkdir()
    with folder_lock(out), pytest.raises(BatchError, match="Another batch writes into"):
        run_batch([slides / "a"], out, model=tiny_model)
    assert len(run_batch([slides / "a"], out, model=tiny_model).summary) == 1


def test_no_region_costs_no_earlier_result(slides, tiny_model, tmp_path):
    out = tmp_path / "out"
    run_batch([slides / "a"], out, model=tiny_model)
    before = (out / "m_labels.tif").read_bytes()
    with pytest.raises(BatchError, match="choose other values"):
        segment_to_files(read_image(slides / "a" / "m.png"), "m", out, threshold=100.0)
    with pytest.raises(ValueError, match="must be a number"):
        segment_to_files(read_image(slides / "a" / "m.png"), "m", out, threshold=float("nan"))
    assert (out / "m_labels.tif").read_bytes() == before
    assert (out / "m_regions.csv").exists()


# ------------------------------------------------------ OME-TIFF and OME-Zarr


@pytest.fixture
def ome_slides(tmp_path, small):
    """The same image as OME-Zarr and as OME-TIFF, with a pixel size."""
    pytest.importorskip("zarr")
    folder = tmp_path / "ome"
    folder.mkdir()
    write_labels(folder / "m.ome.zarr", small, pixel_size=0.1)
    size = {"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(folder / "n.ome.tif", small, metadata={"axes": "YX", **size})
    return folder


@pytest.mark.parametrize("labels_as", ["ome-zarr", "ome-tiff"])
def test_ome_images_in_and_labels_out(ome_slides, tiny_model, tmp_path, labels_as):
    suffix = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tif"}[labels_as]
    before = {one: one.read_bytes() for one in ome_slides.rglob("*") if one.is_file()}
    # Results next to the images are not images.
    arguments = ["batch", str(ome_slides), "-o", str(ome_slides), "--model", str(tiny_model)]
    for _ in range(2):
        assert main([*arguments, "--labels-as", labels_as]) == 0
        summary = pd.read_csv(ome_slides / "summary.csv")
        assert sorted(summary["metaphase"]) == ["m", "n.ome"]
    for name in ("m", "n.ome"):
        copy = ome_slides / f"{name}_labels{suffix}"
        assert open_image(copy).pixel_size == pytest.approx(0.1)
        assert np.array_equal(read_labels(copy), read_labels(ome_slides / f"{name}_labels.tif"))
    assert all(one.read_bytes() == content for one, content in before.items())
    named = [one for one in ome_slides.iterdir() if one.suffix in (".zarr", ".tif")]
    assert sorted(find_images(named)) == find_images([ome_slides])
    # A changed chunk is a changed image.
    chunk = next(one for one in (ome_slides / "m.ome.zarr" / "0").rglob("*") if one.is_file())
    os.utime(chunk, (1, 2**31))
    assert run_batch(ome_slides, ome_slides, model=tiny_model).skipped == 1


def test_one_ome_zarr_with_the_commands_for_one(ome_slides, tiny_model, tmp_path, capsys):
    out = tmp_path / "out"
    image = str(ome_slides / "m.ome.zarr")
    assert main(["segment", image, "-o", str(out), "--labels-as", "ome-zarr"]) == 0
    labels = read_labels(out / "m_labels.ome.zarr")
    given = ["--labels", str(out / "m_labels.ome.zarr"), "--model", str(tiny_model)]
    assert main(["classify", image, "-o", str(out), *given]) == 0
    assert len(read_table(out / "m_regions.csv")) == labels.max()
    # Without the option a copy that is there is kept up to date.
    assert main(["segment", image, "-o", str(out), "--edge", "0.5", "--polarity", "dark"]) == 0
    now = read_labels(out / "m_labels.tif")
    assert np.array_equal(read_labels(out / "m_labels.ome.zarr"), now)
