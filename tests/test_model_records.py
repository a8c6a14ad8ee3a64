"""Records of earlier versions still load: those in tests/records were written before quantisers were plugs.

``run.npz`` is the checkpoint of ``replace(SMALL, width=2, seed=3, dx_weights="forward")`` on `images` after
its first of two epochs; ``state.pt`` holds a state dict by `torch.save`.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_runs import SMALL, images

from cpt.model import checkpoint
from cpt.model.config import QuantConfig
from cpt.model.quantisers import Sbm, Wageubn
from cpt.model.quantize import layer_configs, quantize_
from cpt.model.run import CHECKPOINT
from cpt.model.training import TorchConfig, TorchRun, TorchTrainer

RECORDS = Path(__file__).parent / "records"
NEXT_LOSSES = (1.3814928531646729, 1.2783920764923096)
"""Of the two steps after the checkpoint, by the version that wrote it."""


@pytest.fixture
def record():
    arrays, meta = checkpoint.load(RECORDS / "run.npz")
    return arrays, meta, meta["stated"]["config"]


@pytest.mark.usefixtures("one_thread")
def test_a_run_of_before_goes_on_where_it_was(record):
    arrays, meta, recorded = record
    assert recorded["dx_weights"] == "forward"
    config = TorchConfig.from_dict(recorded)
    assert config.quantisation().plug == Sbm(dx_weights="forward")
    trainer = TorchTrainer(config, images())
    trainer.load_state(arrays, meta["counters"])
    order = trainer.task.epoch_order(config.batch_size, config.seed, trainer.epoch)
    for index, loss in zip(order, NEXT_LOSSES, strict=False):
        batch = (torch.from_numpy(part) for part in trainer.task.train_batch(index, config.seed, 1))
        assert trainer.train_step(*batch).loss == pytest.approx(loss, rel=1e-4)


def test_its_settings_are_told_from_others(record):
    _, _, recorded = record
    config = TorchConfig.from_dict(recorded)
    assert config.difference(recorded) is None
    assert config.as_dict()["quantiser_options"] == {"dx_weights": "forward"}
    other = TorchConfig.from_dict({**recorded, "dx_weights": "input_channel"})
    assert other.difference(recorded) == "quantiser_options {'dx_weights': 'forward'}, here {}"
    assert SMALL.difference({**SMALL.as_dict(), "dx_weights": "input_channel"}) is None


def test_a_schedule_that_has_another_name_now_is_known():
    recorded = {**SMALL.as_dict(), "shape": "triangular"}
    config = TorchConfig.from_dict(recorded)
    assert config == replace(SMALL, shape="up_down")
    assert config.difference(recorded) is None


def test_options_that_its_quantiser_does_not_have_said_nothing(record):
    _, _, recorded = record
    config = TorchConfig.from_dict({**recorded, "quantiser": "dorefa"})
    assert config.quantiser_options == {}
    assert config.difference({**recorded, "quantiser": "dorefa", "dx_weights": "input_channel"}) is None


def test_a_configuration_of_before_is_read():
    written = {
        "quantiser": "wageubn", "fw": 3, "bw": 8, "seed": 0, "quantise_bias": False,
        "dx_weights": "input_channel", "flagged_errors": True, "floor": 1.1754943508222875e-38,
    }  # fmt: skip
    assert QuantConfig.from_dict(written) == QuantConfig(Wageubn(flagged_errors=True), fw=3)


def make():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 3))


def test_a_state_dict_of_before_loads_strictly_and_names_its_quantiser():
    state = torch.load(RECORDS / "state.pt", weights_only=True)
    net = quantize_(make(), QuantConfig(Wageubn(flagged_errors=True)))
    net.load_state_dict(state)
    assert net[0].precision.get_bits() == (3, 6)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    with pytest.raises(ValueError, match=r"^state of layer 0 is of quantiser 'wageubn'; allowed: sbm$"):
        quantize_(make()).load_state_dict(state)
    with pytest.raises(ValueError, match=r"^state of layer 0 says its quantiser's name alone"):
        layer_configs(state)


def test_a_run_whose_update_has_changed_since_does_not_go_on(tmp_path):
    """WAGEUBN's follows its authors' code now: the other half of a run would be another method's."""
    run = TorchRun("run", TorchTrainer(replace(SMALL, quantiser="wageubn", steps=2), images()), tmp_path)
    run.start()
    run.train()
    arrays, meta = checkpoint.load(tmp_path / CHECKPOINT)
    assert meta["stated"].pop("update") == "normalised"
    checkpoint.save(tmp_path / CHECKPOINT, arrays, meta)
    with pytest.raises(
        checkpoint.CheckpointError, match=r"has update None, here normalised; allowed: the run"
    ):
        run.resume()
