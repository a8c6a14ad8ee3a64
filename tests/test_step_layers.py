"""cpt.sim.step.layers: convolutions of known networks, all passes, exact beside the golden trainer."""

from __future__ import annotations

import pytest

from cpt.hw.contract import preset
from cpt.hw.contract.config import STEP
from cpt.model.architecture import Conv
from cpt.sim.step.beside import Beside
from cpt.sim.step.layers import NETWORKS, Drawn, convolutions, main, on_model, on_rtl, train

ZC706, TINY = preset("zc706", STEP), preset("tiny", STEP)


def drawn(conv: Conv, images: int = 2, bits: tuple[int, int] = (6, 8)) -> Drawn:
    return Drawn("drawn", conv, images, bits, 0.0, 1)


@pytest.mark.parametrize(
    "conv",
    [
        Conv("parts", 144, 24, 1, 1, 0, 32, 32),
        Conv("regions", 384, 64, 1, 1, 0, 8, 8),
        Conv("depthwise", 384, 384, 3, 1, 1, 8, 8, groups=384),
        Conv("wide", 512, 512, 1, 1, 0, 4, 4),
        Conv("head", 320, 1280, 1, 1, 0, 4, 4),
        Conv("narrowing", 144, 32, 1, 1, 0, 16, 16),
        Conv("strided", 192, 192, 3, 2, 1, 16, 16, groups=192),
    ],
    ids=lambda conv: conv.name,
)
def test_a_convolution_is_exact(conv: Conv) -> None:
    """Inputs by parts of channels, more channels than lie in statistics side by side, a y beside that of
    a smaller shape."""
    assert on_model(drawn(conv), ZC706) == "exact"


def test_a_convolution_is_exact_on_the_rtl_in_the_cycles_that_the_estimate_says() -> None:
    conv = Conv("strided", 8, 12, 3, 2, 1, 8, 8)
    assert on_rtl(drawn(conv, images=1, bits=(3, 4)), TINY).startswith("exact; ")


@pytest.mark.parametrize("channels", [208, 508])
def test_a_mask_of_more_groups_than_half_of_the_buffer_holds_is_exact_on_the_rtl(channels: int) -> None:
    """Of more than 63 groups too."""
    wide = drawn(Conv("groups", 8, channels, 1, 1, 0, 4, 4), images=1, bits=(3, 4))
    with Beside(TINY, memory_bytes=1 << 24) as device:
        train(wide, TINY, device)


def test_every_shape_comes_once() -> None:
    found = [conv for _, conv in convolutions(list(NETWORKS))]
    shapes = {(c.in_channels, c.out_channels, c.kernel, c.stride, c.height, c.groups) for c in found}
    assert len(shapes) == len(found)
    assert all(c.quantised for c in found)


def test_a_stem_takes_images_and_has_no_errors_of_them() -> None:
    (stem,) = (conv for _, conv in convolutions(["resnet20"]) if conv.name.startswith("stem"))
    assert (drawn(stem).passes, len(drawn(stem).convolutions)) == (2, 2)


def test_the_table_counts_what_is_exact_and_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--networks", "resnet20", "--preset", "tiny", "--images", "1", "--count", "2"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "exact on the model of tiny" in last
