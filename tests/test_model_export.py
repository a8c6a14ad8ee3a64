"""Networks as ONNX files: the library's codes, and in onnxruntime the library's outputs."""

import copy
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cpt.main import main
from cpt.model import LearnedPrecision, QuantConfig, precision, precisions, quantize_, set_precision
from cpt.model.export import DoubleSums, to_onnx
from cpt.model.networks import LstmLM, TransformerLM, cifar_resnet
from cpt.model.networks.mobilenet import InvertedResidual

onnx = pytest.importorskip("onnx", reason="writing ONNX needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="reading ONNX back needs onnxruntime")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra onnx")
numpy_helper = onnx.numpy_helper

CLOSE = 2e-6
"""Of the largest output: what float32 sums in another order may differ by where no code differs."""
OTHER_CODES = 0.25
"""Of the samples: so many may have a code beside the one here, by the rounding of another processor."""


def small_net():
    """Convolutions of several kinds and a linear layer: (N, 4, 6, 6) -> (N, 5)."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding="valid", groups=8, bias=False),
        nn.Conv2d(8, 6, 1, groups=2),
        nn.Flatten(),
        nn.Linear(24, 5),
    )


def trained(net, x, config=None):
    """``net`` quantised, after three training steps, in evaluation."""
    net = quantize_(net, QuantConfig() if config is None else config).train()
    optimiser = torch.optim.SGD(net.parameters(), 0.05)
    for _ in range(3):
        optimiser.zero_grad()
        first(net(x)).square().mean().backward()
        optimiser.step()
    return net.eval()


def first(outputs):
    return outputs[0] if isinstance(outputs, tuple) else outputs


def images(*shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tokens(*shape, seed=3):
    return torch.randint(0, 20, shape, generator=torch.Generator().manual_seed(seed))


def run_file(path, x, optimised=True):
    """The first output of the file in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


def close(found, expected):
    """Whether outputs are those of sums in another order: most are as good as equal, none is far off."""
    apart = np.abs(found - expected).reshape(len(expected), -1).max(1) / np.abs(expected).max()
    return np.mean(apart > CLOSE) <= OTHER_CODES and apart.max() < 0.25


def evaluated(net, x, bits):
    """The library's output at ``bits``."""
    with precision(net, fw=bits), torch.no_grad():
        return first(net(x)).numpy()


def constants(path):
    """Arrays of the file, by name."""
    return {item.name: numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("bits", [1, 3, 8, 11])
def test_the_file_holds_the_librarys_weights_as_codes(bits, tmp_path):
    x = images(4, 4, 6, 6)
    net = trained(small_net(), x)
    path = tmp_path / "net.onnx"
    assert to_onnx(net, x, path, bits) == dict.fromkeys(precisions(net), bits)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    found = constants(path)
    for name, item in precisions(net).items():
        layer = net.get_submodule(name)
        item.set_bits(fw=bits)
        with torch.no_grad():
            values = item.weights(layer.weight, getattr(layer, "groups", 1))[0]
        stored = found[f"{name}.precision.weight.codes"]
        assert stored.dtype == (np.uint8 if bits <= 8 else np.uint16)
        assert stored.max() <= 2**bits - 1
        shape = (-1, *(1,) * (values.dim() - 1))
        scale = found[f"{name}.precision.weight.scale"].reshape(shape)
        lo = found[f"{name}.precision.weight.lo"].reshape(shape)
        assert np.array_equal(stored.astype(np.float32) * scale + lo, values.numpy())
    assert not [name for name in found if name.endswith("weight") and found[name].ndim > 1]
    test = images(64, 4, 6, 6, seed=9)
    assert close(run_file(path, test), evaluated(net, test, bits))


@pytest.mark.parametrize("config", [QuantConfig(), QuantConfig("dorefa", quantise_bias=True)], ids=str)
def test_activations_are_quantised_to_the_librarys_values(config, tmp_path):
    """Whatever arrives at a layer in onnxruntime: to the bit, where it lies beyond the range, too."""
    x = images(4, 4, 6, 6)
    net = trained(small_net(), x, config)
    path, bits = tmp_path / "net.onnx", 6
    to_onnx(net, x, path, bits)
    model = onnx.load(path)
    inputs_and_results = quantised_tensors(model.graph)
    assert len(inputs_and_results) == 4
    names = {name for pair in inputs_and_results for name in pair} - {"input"}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = 2 * images(64, 4, 6, 6, seed=9)
    outputs = [item.name for item in session.get_outputs()]
    values = dict(zip(outputs, session.run(None, {"input": x.numpy()}), strict=True)) | {"input": x.numpy()}
    with precision(net, fw=bits), torch.no_grad():
        for (before, after), item in zip(inputs_and_results, precisions(net).values(), strict=True):
            expected = item.activation(torch.from_numpy(values[before]))
            assert np.array_equal(values[after], expected.numpy())


def quantised_tensors(graph):
    """(tensor before Sub or Clip, tensor after DequantizeLinear or Add) of every quantised activation."""
    maker = {name: node for node in graph.node for name in node.output}
    users = {name: node for node in graph.node for name in node.input}
    pairs = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            clip, after = maker[node.input[0]], users[node.output[0]]
            before = maker.get(clip.input[0])
            if before is not None and before.op_type == "Sub":
                clip, after = before, users[after.output[0]]
                assert after.op_type == "Add"
            pairs.append((clip.input[0], after.output[0]))
    return pairs


def blocks_of_mobilenet():
    """Inverted residuals with each kind of shortcut: (N, 8, 8, 8) -> (N, 24, 4, 4)."""
    return nn.Sequential(
        InvertedResidual(8, 8, 6, 1, 8), InvertedResidual(8, 16, 6, 2, 8), InvertedResidual(16, 24, 6, 1, 4)
    )


NETWORKS = {
    "small": (small_net, images(4, 4, 6, 6), images(64, 4, 6, 6, seed=9)),
    "resnet8": (lambda: cifar_resnet(8, 10, 8, 1, width=8), images(8, 1, 8, 8), images(64, 1, 8, 8, seed=9)),
    "resnet20": (lambda: cifar_resnet(20), images(8, 3, 32, 32), images(8, 3, 32, 32, seed=9)),
    "mobilenet": (blocks_of_mobilenet, images(8, 8, 8, 8), images(16, 8, 8, 8, seed=9)),
    "lstm": (lambda: LstmLM(20, 16, 2), tokens(4, 5), tokens(16, 5, seed=9)),
    "transformer": (lambda: TransformerLM(20, 16, 2, 2, 16), tokens(4, 5), tokens(16, 5, seed=9)),
}
"""How it is built, what it trains on, what it is tried on; the batches differ in size where they may."""


def network(name):
    """(trained network, training batch, batch to try)"""
    build, x, test = NETWORKS[name]
    torch.manual_seed(2)
    return trained(build(), x), x, test


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bits"),
    [
        *(("resnet8", 3), ("resnet8", 8), ("resnet20", 4)),
        *(("small", 1), ("small", 16), ("mobilenet", 8), ("lstm", 3)),
    ],
)
def test_outputs_are_equal_to_the_bit_with_double_sums(name, bits, tmp_path):
    net, x, test = network(name)
    to_onnx(net, x, tmp_path / "net.onnx", bits, double_sums=True)
    with DoubleSums():
        expected = evaluated(net, test, bits)
    for optimised in (True, False):
        assert np.array_equal(run_file(tmp_path / "net.onnx", test, optimised), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bits"),
    [("resnet8", 3), ("resnet8", 8), ("lstm", 4), ("transformer", 3)],
)
def test_outputs_with_sums_of_float32_are_close(name, bits, tmp_path):
    net, x, test = network(name)
    to_onnx(net, x, tmp_path / "net.onnx", bits)
    expected = evaluated(net, test, bits)
    assert close(run_file(tmp_path / "net.onnx", test), expected)


def test_a_network_with_products_of_codes_is_exported_as_any_other(tmp_path):
    torch.manual_seed(0)
    x, paths = torch.randn(4, 6), []
    float_net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    for kind in ("float32", "int8"):
        net = trained(copy.deepcopy(float_net), x, QuantConfig(fw=5, products=kind))
        paths.append(tmp_path / f"{kind}.onnx")
        to_onnx(net, x, paths[-1], 5)
        assert close(run_file(paths[-1], x), evaluated(net, x, 5))
    one, other = (constants(path) for path in paths)
    assert set(one) == set(other)


def test_double_sums_do_not_depend_on_the_memory_format():
    net, _, test = network("resnet8")
    with DoubleSums():
        expected = evaluated(net, test, 8)
        found = evaluated(net, test.contiguous(memory_format=torch.channels_last), 8)
    assert np.array_equal(found, expected)
    assert close(evaluated(net, test, 8), expected)


def test_convolutions_as_products_are_convolutions():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 9, 7, generator=generator)
    for options in (
        {"stride": 2, "padding": (1, 2)},
        {"dilation": (2, 1), "groups": 2},
        {"padding": 1, "groups": 4},
        {"padding": "same", "dilation": (1, 2)},
        {"kernel": 1, "stride": (2, 1), "groups": 2},
    ):
        taps = options.pop("kernel", 3)
        w = torch.randn(8, 4 // options.get("groups", 1), taps, taps, generator=generator)
        b = torch.randn(8, generator=generator)
        with DoubleSums():
            expected = nn.functional.conv2d(x, w, b, **options)
        with DoubleSums(as_products=True):
            found = nn.functional.conv2d(x, w, b, **options)
        assert torch.equal(found, expected)


def test_the_file_says_how_each_layer_is_quantised(tmp_path):
    x = images(4, 4, 6, 6)
    net = trained(small_net(), x)
    net[3].precision.set_bits(5)
    set_precision(net, fw=0, filter_fn=lambda module, name: name == "0")
    before = copy.deepcopy(net.state_dict())
    bits = to_onnx(net, x, tmp_path / "net.onnx")
    assert bits == {"0": 0, "3": 5, "4": 8, "6": 8}
    model = onnx.load(tmp_path / "net.onnx")
    said = {item.key: item.value for item in model.metadata_props}
    layers = json.loads(said["cpt_layers"])
    assert {name: layer["bits"] for name, layer in layers.items()} == bits
    assert layers["3"]["quantiser"] == "sbm"
    assert b".py" not in model.SerializeToString()
    assert [item.name for item in model.graph.output] == ["output"]
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 3
    after = net.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name: item.get_bits()[0] for name, item in precisions(net).items()} == bits


def test_learned_bits_are_those_of_the_file(tmp_path):
    x = images(4, 4, 6, 6)
    net = trained(small_net(), x)
    learned = LearnedPrecision(net, (3, 8), dict.fromkeys(precisions(net), 100), target=0.6)
    item = precisions(net)["4"]
    with torch.no_grad():
        item.soft_bits.beta.fill_(0.4)
    assert to_onnx(net, x, tmp_path / "net.onnx")["4"] == item.get_bits()[0] == 5
    assert learned is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: nn.Linear(4, 4), "model has 0 quantised layers; allowed: one that quantize_ made"),
        (
            lambda net: quantize_(small_net(), QuantConfig()),
            "layer 0 has no range of its input; allowed: a model that has trained, or run under calibration",
        ),
        (
            lambda net: trained(small_net(), images(4, 4, 6, 6), QuantConfig("fabric")),
            "quantiser fabric of layer 0 has no grid to export; allowed: one with weight_codes",
        ),
        (
            lambda net: trained(small_net(), images(4, 4, 6, 6), QuantConfig("wageubn")),
            "module '1' is a FixedPointBatchNorm2d of quantiser wageubn; allowed: layers,",
        ),
        (lambda net: nn.Sequential(net, Branch()), "module '1' (Branch) cannot be exported: "),
        (
            lambda net: nn.Sequential(net, Spectrum()),
            "module '1' computes aten.linalg_eig.default, which",
        ),
        (lambda net: nn.Sequential(nn.Flatten(), net), "module '1.0' (QuantConv2d) cannot be exported: "),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(change, message, tmp_path):
    x = images(4, 4, 6, 6)
    net = change(trained(small_net(), x))
    path = tmp_path / "net.onnx"
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        to_onnx(net, x, path, 4)
    assert "\n" not in str(caught.value)
    assert not path.exists()


class Branch(nn.Module):
    """Looks at a value."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


class Spectrum(nn.Module):
    """Computes what ONNX has no form of."""

    def forward(self, x):
        return torch.linalg.eigvals(x[:, :, None] * x[:, None]).abs()


def test_a_file_that_cannot_be_written_is_named_before_anything_is_computed(tmp_path):
    with pytest.raises(OSError, match="cannot write"):
        to_onnx(nn.Linear(2, 2), images(2, 2), tmp_path)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ModuleNotFoundError, match="onnxscript"):
        to_onnx(nn.Linear(2, 2), images(2, 2), tmp_path / "net.onnx")


@pytest.mark.slow
def test_a_run_is_exported_at_its_bits_or_others(tmp_path, capsys):
    train = ("train", "--device", "cpu", "--model", "resnet8", "--width", "4", "--steps", "4", "--batch-size")
    assert main((*train, "16", "--no-compare", "--out", str(tmp_path), "--run-name", "a")) == 0
    capsys.readouterr()
    assert main(("export", str(tmp_path / "a"), "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    path = tmp_path / "a" / "network.onnx"
    assert said["file"] == str(path)
    assert said["bytes"] == path.stat().st_size
    assert set(said["layers"].values()) == {8}
    assert run_file(path, images(5, 1, 8, 8)).shape == (5, 10)
    other = tmp_path / "other.onnx"
    assert main(("export", str(tmp_path / "a"), "--bits", "3", "--out", str(other))) == 0
    assert capsys.readouterr().out.startswith("9 quantised layers, bits: 3\n")
    assert max(item.max() for name, item in constants(other).items() if name.endswith("codes")) == 7
    assert main(("export", str(tmp_path / "a"), "--bits", "17", "--out", str(other))) == 2
    assert capsys.readouterr().err == "cpt export: bits is 17; allowed: 1..16, or 0 for full precision\n"


def test_the_page_s_example_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "docs" / "library.md").read_text(encoding="utf-8")
    block = page.partition("## Export to ONNX")[2].split("```")[1]
    monkeypatch.chdir(tmp_path)
    x = images(4, 4, 6, 6)
    names = {"net": trained(small_net(), x), "x": x, "precision": precision, "torch": torch}
    exec(block, names)
    assert np.array_equal(run_file("exact.onnx", x), names["logits"].numpy())
    assert (tmp_path / "net.onnx").exists()
