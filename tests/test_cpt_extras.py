"""Without an extra of the installation: one line that names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpt.extras import EXTRAS, extra_of

ROOT = Path(__file__).parent.parent
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from cpt.main import main
sys.exit(main({words!r}))
"""


def without(extra, *words, cwd=None):
    """The command where the packages of ``extra`` cannot be imported."""
    program = BLOCKED.format(blocked=EXTRAS[extra], words=words)
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("torch", ("train", "--device", "cpu", "--steps", "1")),
        ("torch", ("bits", "--figure", "a.png")),
        ("torch", ("bench", "step")),
        ("torch", ("report",)),
        ("torch", ("range-test",)),
        ("torch", ("landscape", "runs")),
        ("hw", ("bitstream", "--check", "--no-synthesis")),
        ("board", ("doctor",)),
    ],
    ids=lambda item: item if isinstance(item, str) else " ".join(item),
)
def test_a_missing_extra_is_named_in_one_line(extra, words, tmp_path):
    done = without(extra, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    *notes, last = done.stderr.splitlines()
    assert f"is not installed; allowed: pip install 'cpt-fpga[{extra}]'" in last
    assert "Traceback" not in "".join(notes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extra", ["torch", "hw", "sim"])
def test_the_doctor_passes_without_an_extra_and_says_what_that_costs(extra, tmp_path):
    done = without(extra, "doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "missing: no" in done.stdout
    assert f"'cpt-fpga[{extra}]'" in " ".join(done.stdout.split())


def test_every_optional_package_of_the_project_has_an_extra():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = text.partition("[project.optional-dependencies]")[2].partition("[project.scripts]")[0]
    assert all(f"{extra} = [" in extras for extra in EXTRAS)
    assert extra_of("sklearn.datasets") == "torch"
    assert extra_of("os") is None
