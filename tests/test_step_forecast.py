"""cpt.sim.step.forecast: several processes find what one finds, and what fails in one of them is told."""

from __future__ import annotations

import numpy as np
import pytest

import cpt.sim.step.forecast as forecasts
from cpt.host.compiler.lifetimes import Listing
from cpt.host.config import TrainConfig
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.step import Code, Engine, encode
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.memory import memory_model
from cpt.sim.step.forecast import Forecast

CONFIG = TrainConfig(model="resnet8", width=4, batch_size=8, micro_batch=4)
PRECISIONS = [(3, 8), (8, 8)]


def forecast() -> Forecast:
    """Of a small network on the smallest array."""
    description = cifar_resnet(8, 10, 8, 1, 4)
    network = Network.residual(description, np.ones(1, np.float32), np.zeros(1, np.float32))
    return Forecast(preset("tiny", "step"), memory_model("ps-ddr", 200), network, CONFIG)


def test_processes_find_what_one_finds(monkeypatch) -> None:
    alone, together = forecast(), forecast()
    together.together(PRECISIONS, processes=2)
    with monkeypatch.context() as patched:
        patched.setattr(forecasts.Lists, "time", None)
        found = [(together.trained(bits), together.parts(bits)) for bits in PRECISIONS]
    assert found == [(alone.trained(bits), alone.parts(bits)) for bits in PRECISIONS]
    assert found[0] != found[1]


def test_one_process_works_out_nothing_before_it_is_asked(monkeypatch) -> None:
    monkeypatch.setattr(forecasts.multiprocessing, "get_context", None)
    forecast().together(PRECISIONS, processes=1)


def test_what_a_process_refuses_is_one_line() -> None:
    one = forecast()
    stands = encode(Code.BRING, kind=2, words=2, runs=1, wait0_engine=int(Engine.STORE), wait0_first=1)
    one._lists._listings = {name: Listing(stands, ()) for name in one._lists._listings}
    with pytest.raises(ContractError, match="program stands still"):
        one.together(PRECISIONS, processes=2)
