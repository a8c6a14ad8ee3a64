"""Loss landscapes, and the command that draws them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cpt.main import main
from cpt.model import QuantConfig, quantize_
from cpt.model.landscape import filter_normalised, landscape
from cpt.model.networks import cifar_resnet

torch.set_num_threads(1)


def small_net():
    torch.manual_seed(0)
    return quantize_(cifar_resnet(8, classes=10, image_size=8, image_channels=1, width=4), QuantConfig())


def test_every_filter_of_a_direction_has_the_norm_of_the_models():
    net = small_net()
    direction = filter_normalised(net, seed=3)
    for name, parameter in net.named_parameters():
        if parameter.ndim <= 1:
            assert not direction[name].any(), name
        else:
            assert torch.allclose(
                direction[name].flatten(1).norm(dim=1), parameter.flatten(1).norm(dim=1), rtol=1e-5
            ), name
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    doubled = filter_normalised(net, seed=3)
    assert all(torch.allclose(doubled[name], 2 * value) for name, value in direction.items())


def test_a_quadratic_loss_gives_its_parabola_and_leaves_the_weights():
    layer = torch.nn.Linear(3, 2, bias=False)
    trained = layer.weight.detach().clone()
    direction = filter_normalised(layer, seed=0)["weight"]

    def loss():
        return float((layer.weight - trained).square().sum())

    found = landscape(layer, loss, axes=1, span=2.0, points=5)
    assert found.positions.tolist() == [-2, -1, 0, 1, 2]
    size = float(direction.square().sum())
    assert found.losses == pytest.approx([4 * size, size, 0, size, 4 * size], rel=1e-5)
    assert torch.equal(layer.weight, trained)
    plane = landscape(layer, loss, axes=2, span=2.0, points=5)
    assert plane.losses[:, 2] == pytest.approx(found.losses, rel=1e-5)


def test_landscape_of_a_run_has_the_trained_loss_at_its_centre(capsys, tmp_path):
    train = ("train", "--device", "cpu", "--model", "resnet8", "--width", "4", "--steps", "6", "--batch-size")
    words = ("16", "--no-compare", "--out", str(tmp_path), "--json")
    assert main((*train, *words, "--run-name", "a")) == 0
    capsys.readouterr()
    look = ("landscape", str(tmp_path / "a"), "--points", "3", "--samples", "16", "--span", "0.5", "--json")
    assert main((*look, "--fw", "8", "2", "--out", str(tmp_path / "line"))) == 0
    line = json.loads(capsys.readouterr().out)
    assert [view["fw"] for view in line["views"]] == [8, 2]
    assert main((*look, "--axes", "2", "--out", str(tmp_path / "plane"))) == 0
    plane = json.loads(capsys.readouterr().out)
    losses = np.array(plane["views"][0]["losses"])
    assert losses.shape == (3, 3)
    assert losses[:, 1].tolist() == line["views"][0]["losses"]
    for path in (*line["figures"], *plane["figures"]):
        assert Path(path).read_bytes().startswith(b"\x89PNG")
    assert main((*look, "--points", "4")) == 2
    assert capsys.readouterr().err.startswith("cpt landscape: points is 4; allowed: an odd number")


@pytest.mark.parametrize("method", ["pfq", "ldp", "fp32"])
def test_runs_of_every_method_have_a_landscape(capsys, tmp_path, method):
    train = (
        "train",
        "--device",
        "cpu",
        "--width",
        "4",
        "--steps",
        "2",
        "--batch-size",
        "8",
        "--method",
        method,
    )
    assert main((*train, "--no-compare", "--out", str(tmp_path), "--run-name", "a")) == 0
    look = ("landscape", str(tmp_path / "a"), "--points", "3", "--samples", "8", "--out", str(tmp_path / "b"))
    assert main(look) == 0
    assert "at the weights" in capsys.readouterr().out


def test_a_folder_without_a_run_is_one_line(capsys, tmp_path):
    assert main(("landscape", str(tmp_path / "none"))) == 2
    error = capsys.readouterr().err
    assert "summary.json cannot be read" in error
    assert error.count("\n") == 1
