"""The board's archive on emulated 32-bit Arm: install, examine, train, and compare with this machine.

    sudo apt install qemu-user debootstrap
    sudo .venv/bin/python tests/arm_emulation.py

What is emulated is in `armhf.py`. Times mean nothing.
"""

import json
import sys
import tarfile

from armhf import FOLDER, emulated_python, run

PREFIX = FOLDER / "opt"
TRAIN = (
    "train",
    "--preset",
    "tiny",
    "--width",
    "4",
    "--steps",
    "3",
    "--batch-size",
    "32",
    "--no-compare",
    "--overwrite",
)
"""docs/board.md's short training."""
EQUAL = ("contract_hash", "dataset_sha256", "weights_sha256", "loss", "accuracy", "training", "evaluation")
"""Parts of a run's summary that are the same on every machine."""


def main() -> int:
    python = emulated_python()
    cpt = (sys.executable, "-m", "cpt.main")
    run(*cpt, "package", "--out", FOLDER, cwd=FOLDER)
    with tarfile.open(FOLDER / "cpt-zc706.tar.gz") as archive:
        archive.extractall(FOLDER)
    print(run(FOLDER / "cpt-board" / "install.sh", "--prefix", PREFIX, "--python", python), end="")
    emulated = PREFIX / "bin" / "cpt"
    print(run(emulated, "doctor"), end="")
    summaries = [
        json.loads(run(*command, *TRAIN, "--out", FOLDER / name, "--json", cwd=FOLDER).splitlines()[-1])
        for name, command in (("here", cpt), ("arm", (emulated,)))
    ]
    for name, summary in zip(("this machine", "emulated Arm"), summaries, strict=True):
        print(f"{name}: loss {summary['loss']:.6f}, weights {summary['weights_sha256'][:16]}")
    different = [name for name in EQUAL if summaries[0][name] != summaries[1][name]]
    print(f"different: {', '.join(different)}" if different else f"equal: {', '.join(EQUAL)}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
