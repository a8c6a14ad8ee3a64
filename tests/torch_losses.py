"""Trains tiny networks for some steps and writes every loss: alone, or as one of torchrun's processes."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import own_quantiser
import torch
from torch_runs import LANGUAGE, LSTM, SMALL, images, language

from cpt.model import checkpoint
from cpt.model.run import CHECKPOINT
from cpt.model.training import TorchRun, TorchTrainer
from cpt.model.training.distributed import join
from cpt.model.training.state import weights_sha256

STEPS = 6
SEEDS = 3
FULL = {
    "images": (replace(SMALL, method="fp32", steps=STEPS), lambda: images(pad=1, flip=True)),
    "transformer": (replace(LANGUAGE, method="fp32", steps=STEPS), language),
    "lstm": (replace(LSTM, method="fp32", dropout=0.0, steps=STEPS), lambda: language(carries=True)),
    "micro-batches": (replace(SMALL, method="fp32", steps=STEPS, micro_batch=4), images),
    "lstm, micro-batches": (
        replace(LSTM, method="fp32", dropout=0.0, steps=STEPS, micro_batch=4),
        lambda: language(carries=True),
    ),
}
LOW = replace(SMALL, method="static", fw=(3, 3), bw=(2, 2), steps=2)
"""So few bits that ranges and noise of half a batch would show in the loss at once."""
LOW_LSTM = replace(
    LSTM, method="static", fw=(3, 3), bw=(2, 2), dropout=0.0, steps=2, optimiser="sgd", lr=30.0
)
"""Its gradients are small: a high rate shows them."""
QUANTISED = {
    "sbm": (LOW, images),
    "dorefa": (replace(LOW, quantiser="dorefa"), images),
    "wageubn": (replace(LOW, quantiser="wageubn"), images),
    "ldp": (replace(LOW, method="ldp", fw=(3, 5)), images),
    "fabric, micro-batches": (replace(LOW, quantiser="fabric", micro_batch=4), images),
    "own": (replace(LOW, quantiser=own_quantiser.PowerOfTwo.name), images),
    "lstm": (LOW_LSTM, lambda: language(carries=True)),
    "lstm-dorefa": (replace(LOW_LSTM, quantiser="dorefa"), lambda: language(carries=True)),
    "lstm-fabric": (replace(LOW_LSTM, quantiser="fabric"), lambda: language(carries=True)),
}
CASES = {
    **FULL,
    **{
        f"{name}-{seed}": (replace(config, seed=seed), task)
        for name, (config, task) in QUANTISED.items()
        for seed in range(SEEDS)
    },
}


def losses(config, task, processes, folder):
    """Loss of every step, and what evaluation and the checkpoint say."""
    run = TorchRun("run", TorchTrainer(config, task, processes), folder, save_every=1)
    found = []
    run.start()
    summary = run.train(lambda report: found.append(report.loss))
    if processes.leads:
        # back to the checkpoint before the last, which is inside an epoch
        os.replace(checkpoint.previous(folder / CHECKPOINT), folder / CHECKPOINT)
    processes.sum_(torch.zeros(1))  # nobody reads before that
    again = TorchRun("run", TorchTrainer(config, task, processes), folder)
    again.resume()
    return {
        "losses": found,
        "test_loss": summary["loss"],
        "gbitops": summary["gbitops"],
        "weights": weights_sha256(run.trainer.model),
        "resumed_at": again.trainer.step,
        "resumed": again.train()["weights_sha256"],
    }


def main(out):
    """Write ``out/RANK.json``; processes share the folders of their runs."""
    torch.set_num_threads(1)
    processes = join("cpu")
    result = {
        name: losses(config, make(), processes, Path(out) / name) for name, (config, make) in CASES.items()
    }
    (Path(out) / f"{processes.rank}.json").write_text(json.dumps(result))
    processes.close()
    processes.succeed()


if __name__ == "__main__":
    main(sys.argv[1])
