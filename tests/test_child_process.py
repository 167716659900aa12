"""Processes of a pool end with their parent."""

import os
import signal
import subprocess
import sys

import psutil
import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="sessions are a matter of POSIX")
def test_processes_of_a_pool_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        "import multiprocessing, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from napari_chromocluster.child_process import end_with_parent\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(2, context, end_with_parent)\n"
        "    for one in [pool.submit(time.sleep, 1) for _ in range(2)]: one.result()\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as training:
        assert training.stdout.readline() == b"ready\n"
        workers = psutil.Process(training.pid).children(recursive=True)
        assert len(workers) >= 2
        os.kill(training.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
