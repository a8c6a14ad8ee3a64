"""One step of a quantised layer in torch's own DistributedDataParallel, as one of torchrun's processes."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import torch.distributed as dist
from torch import nn

from cpt.model import QuantConfig, quantize_
from cpt.model.training.distributed import Processes


def weight_gradient(share=None):
    """That of the same layer and batch in every process."""
    torch.manual_seed(0)
    net = quantize_(nn.Sequential(nn.Linear(6, 4)), QuantConfig(bw=2))
    if share:
        share(net)
    net(torch.randn(5, 6)).square().mean().backward()
    return net[0].weight.grad.flatten().tolist()


def main(folder):
    rank = int(os.environ["RANK"])
    found = {"alone": weight_gradient()}
    dist.init_process_group("gloo")
    found["own"] = weight_gradient()
    found["shared"] = weight_gradient(Processes(torch.device("cpu"), rank, 2).share)
    net = nn.parallel.DistributedDataParallel(quantize_(nn.Sequential(nn.Linear(6, 4)), QuantConfig(bw=2)))
    for _ in range(2):
        net(torch.randn(5, 6)).square().mean().backward()
    found["ddp"] = net.module[0].weight.grad.flatten().tolist()
    found["steps"] = int(net.module[0].precision.noise_step)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    os._exit(0)  # a process in which DistributedDataParallel was may abort as torch's threads end, one in 20


if __name__ == "__main__":
    main(Path(sys.argv[1]))
