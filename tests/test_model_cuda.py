"""A GPU gives the codes, and the noise, that a processor gives; training on it is close to that on one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cpt.model import QuantConfig, integer, quantize_
from cpt.model.data import load_communities
from cpt.model.fabric_grid import error_codes, input_codes, symmetric, weight_codes
from cpt.model.fabric_grid import noise_like as bytes_like
from cpt.model.functional import Noise, codes, noise_like, slice_range, tensor_range, uniform
from cpt.model.integer import Codes, int_mm, product
from cpt.model.networks import Aggregation, cifar_resnet
from cpt.model.quantisers import quantiser_names

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
SHAPES = [(3, 5, 6, 7), (8, 16, 3, 3), (100_003,), (33, 65)]
BITS = [2, 3, 4, 6, 8, 12, 16]


def random(shape: tuple[int, ...], seed: int, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(shape, generator=generator) + 0.1 * seed


def moved(item: Any) -> Any:
    """Tensors of a nest of tuples on the GPU."""
    if isinstance(item, Tensor):
        return item.cuda()
    if isinstance(item, tuple):
        parts = [moved(part) for part in item]
        return type(item)(*parts) if hasattr(item, "_fields") else tuple(parts)
    return item


def same(function: Any, *arguments: Any, **options: Any) -> None:
    """``function`` has equal results on either device, to the bit."""
    here, there = function(*arguments, **options), function(*moved(arguments), **options)
    pairs = zip(here, there, strict=True) if isinstance(here, tuple) else [(here, there)]
    for one, other in pairs:
        assert other.device.type == "cuda"
        differing = int((one != other.cpu()).sum())
        assert not differing, f"{differing} of {one.numel()} differ"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", BITS)
def test_codes_are_equal_however_they_are_rounded(shape: tuple[int, ...], bits: int) -> None:
    for seed, spread in enumerate((1e-12, 1.0, 3e7)):
        x, width = random(shape, seed, spread), torch.tensor(bits)
        for found in (tensor_range(x), slice_range(x, (0,))):
            same(codes, x, width, found)
            same(codes, x, width, found, Noise(1234 + seed, True, seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_is_equal(shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape)
    for key in (0, 1, 2**31 + 5, 2**32 - 1):
        for noise in (Noise(key, True), Noise(key, False, 17)):
            same(noise_like, x, noise)
        same(bytes_like, x, Noise(key, True))
        assert torch.equal(uniform(key, 1000), uniform(key, 1000, "cuda").cpu())


@pytest.mark.parametrize("bits", BITS)
def test_codes_of_the_fabric_are_equal(bits: int) -> None:
    width = torch.tensor(bits)
    for seed, spread in enumerate((1e-6, 1.0, 1e4)):
        weights, pixels = random((9, 12, 3, 3), seed, spread), random((3, 5, 6, 7), seed, spread)
        for axis in (0, 1):
            same(weight_codes, weights, width, (axis,))
        for x in (pixels, pixels.relu()):
            same(input_codes, x, width, symmetric(tensor_range(x)))
        same(error_codes, pixels, width, pixels.abs().max(), Noise(77 + seed, True))


@pytest.mark.parametrize("sizes", [(1, 1, 1), (17, 24, 40), (100, 65, 33), (512, 1024, 256)])
def test_products_of_codes_are_equal(sizes: tuple[int, int, int]) -> None:
    rows, terms, columns = sizes
    generator = torch.Generator().manual_seed(rows)
    a, b = (
        torch.randint(-128, 128, (count, terms), generator=generator, dtype=torch.int8)
        for count in (rows, columns)
    )
    same(int_mm, a, b)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_linear_layer_in_integers_has_the_processors_codes(bits: int, monkeypatch: Any) -> None:
    found: list[list[Tensor]] = []

    def kept(a: Codes, b: Codes) -> Tensor:
        found[-1] += [a.codes.cpu(), b.codes.cpu()]
        return product(a, b)

    monkeypatch.setattr(integer, "product", kept)
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        net = quantize_(nn.Sequential(nn.Linear(40, 24)), QuantConfig(fw=bits, bw=bits, products="int8"))
        found.append([])
        x = random((3, 7, 40), 1).to(device).requires_grad_()
        net.to(device)(x).backward(random((3, 7, 24), 2).to(device))
    assert len(found[0]) == 6
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_sums_over_the_neighbours_of_a_graph_are_equal() -> None:
    layer = Aggregation(*map(torch.from_numpy, load_communities().neighbours()))
    x, weights = (random((1, 4000, 33), seed).requires_grad_() for seed in (1, 2))

    def both(layer: nn.Module, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        y = layer(x)
        return y.detach(), torch.autograd.grad((y * weights).sum(), x)[0]

    here = both(layer, x, weights)
    there = both(layer.cuda(), *moved((x, weights)))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one, other.cpu())


@pytest.mark.parametrize("name", quantiser_names())
def test_a_step_is_close_to_that_of_a_processor(name: str) -> None:
    """Sums come in another order, so a code now and then is the next one."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        losses = []
        for device in ("cpu", "cuda"):
            torch.manual_seed(3)
            net = cifar_resnet(8, width=8).to(memory_format=torch.channels_last)
            quantize_(net, QuantConfig(name, fw=6))
            net.to(device)
            images = random((16, 3, 12, 12), 1).to(device)
            labels = torch.arange(16, device=device) % 10
            optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
            for _ in range(4):
                optimiser.zero_grad()
                loss = nn.functional.cross_entropy(net(images), labels)
                loss.backward()
                optimiser.step()
            losses.append(loss.item())
        assert losses[1] == pytest.approx(losses[0], rel=0.05)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
