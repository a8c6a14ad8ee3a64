"""Temporary folders vanish with their process, or with the next one if it was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from cpt.model.scratch import MARK, Scratch

ROOT = Path(__file__).parent.parent
HELD = """
import sys
from cpt.model.scratch import Scratch
scratch = Scratch("test")
print(scratch.path, flush=True)
sys.stdin.read()
"""


def test_a_folder_is_there_while_it_is_used_and_not_after():
    with Scratch("test") as folder:
        assert (folder / MARK).is_file()
    assert not folder.exists()


def test_a_killed_process_folder_is_removed_by_the_next_and_a_living_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    others = tmp_path / "cpt-results-20261128"
    others.mkdir()
    (others / "mine.txt").write_text("mine")
    child = subprocess.Popen(
        [sys.executable, "-c", HELD],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        held = Path(child.stdout.readline().strip())
        with Scratch("test"):
            assert held.is_dir()
        child.send_signal(signal.SIGKILL)
        child.wait(60)
        child.stdin.close()
    assert held.is_dir()
    with Scratch("test"):
        assert not held.exists()
    assert (others / "mine.txt").read_text() == "mine"
