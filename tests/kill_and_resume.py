"""Kills training runs at random moments and resumes them; the final weights must not differ.

``python tests/kill_and_resume.py --kills 20 --seed 1`` prints a JSON line and exits with status 1 on a
difference. The kills come at a random time and at a random system call of a save in turn. Every run saves
after every step, so many of the former fall into a save too.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch_runs import LSTM, SMALL, images, language

from cpt.model import checkpoint, files
from cpt.model.run import CHECKPOINT, SUMMARY
from cpt.model.training import TorchRun, TorchTrainer

RUNS = {
    # augmentation, cyclic precision and learning rate, momentum, averaged weights, loading ahead
    "images": (
        replace(SMALL, epochs=5, swa_start=0.3, lr_schedule="cyclic", per="iteration"),
        lambda: images(pad=1, flip=True),
        2,
    ),
    # dropout, state carried from step to step, learned precision, Adam
    "text": (replace(LSTM, method="ldp", epochs=4), lambda: language(carries=True), 0),
}
CALLS = ("fsync", "replace", "link", "chmod")
"""System calls of a save; `os.replace` makes a file visible."""
LONGEST_S = 0.8
"""Until a kill by the clock."""


def train(kind, folder):
    """Train to the end, from the checkpoint if there is one."""
    config, make, workers = RUNS[kind]
    run = TorchRun(kind, TorchTrainer(config, make(), workers=workers), folder, save_every=1)
    if (folder / CHECKPOINT).is_file():
        run.resume()
    else:
        run.start()
    return run.train()


def die_at(call, count, late):
    """Make this process kill itself at the ``count``-th ``call`` of a save, before or after it is done."""
    real, left = getattr(os, call), count

    def wrapped(*args, **options):
        nonlocal left
        left -= 1
        if left == 0 and not late:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **options)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, call, wrapped)


def start(kind, folder, trap):
    """Train in a child process; ``trap`` is None or the arguments of `die_at`."""
    child = os.fork()
    if child:
        return child
    try:
        if trap:
            die_at(*trap)
        train(kind, folder)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def kill_and_resume(kills, seed):
    """Kill ``kills`` times in all, over as many runs as that takes; what happened."""
    rng = random.Random(seed)
    happened = {"by_clock": 0, "in_save": 0, "leftovers": 0, "runs": 0, "different": []}
    with tempfile.TemporaryDirectory() as scratch:
        expected = {kind: train(kind, Path(scratch) / kind) for kind in RUNS}
        done, number = 0, 0
        while done < kills:
            kind = list(RUNS)[number % len(RUNS)]
            folder = Path(scratch) / f"{kind}-{number}"
            number += 1
            ended = False
            while not ended:
                by_clock = happened["by_clock"] <= happened["in_save"]
                trap = None if by_clock else (rng.choice(CALLS), rng.randint(1, 20), rng.random() < 0.5)
                if done >= kills:
                    by_clock, trap = False, None
                child = start(kind, folder, trap)
                if by_clock:
                    time.sleep(rng.uniform(0.0, LONGEST_S))
                    os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                if os.WIFSIGNALED(status):
                    done += 1
                    happened["by_clock" if by_clock else "in_save"] += 1
                    happened["leftovers"] += any(folder.glob(".*"))
                else:
                    ended = True
                    assert os.WEXITSTATUS(status) == 0, f"{kind} failed after {done} kills, seed {seed}"
            happened["runs"] += 1
            found = json.loads((folder / SUMMARY).read_text())
            if found != expected[kind] or any(folder.glob(".*")):
                happened["different"].append(f"{kind}-{number}")
            checkpoint.load(checkpoint.previous(folder / CHECKPOINT))
    return happened


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    assert files.os is os
    result = kill_and_resume(arguments.kills, arguments.seed)
    print(json.dumps({"seed": arguments.seed, **result}))
    return 1 if result["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
