"""Bit counts: the numbers of the papers, recomputed."""

import pytest

from cpt.model.architecture import cifar_resnet, imagenet_resnet, mobilenet_v2
from cpt.model.bitops import PassBitops, counted_macs, pass_bitops, run_bitops, run_gbitops, saving
from cpt.model.cyclic import Repeated
from cpt.model.schedule import Plan, Static

STATIC_8 = Plan(Static(8), Static(8))


@pytest.mark.parametrize(
    ("layers", "published"),
    [
        (cifar_resnet(38).layers, 1.33e8),
        (cifar_resnet(74).layers, 2.67e8),
        (cifar_resnet(164).layers, 6.04e8),
        (mobilenet_v2(), 1.49e8),
        (imagenet_resnet(18).layers, 2.86e9),
        (imagenet_resnet(34).layers, 5.77e9),
        (imagenet_resnet(50).layers, 6.47e9),
    ],
    ids=["ResNet-38", "ResNet-74", "ResNet-164", "MobileNetV2", "ResNet-18", "ResNet-34", "ResNet-50"],
)
def test_static_runs_cost_what_the_paper_prints(layers, published):
    assert run_gbitops(layers, STATIC_8, steps=1) == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(
    ("lo", "hi", "bw", "percent"),
    [(3, 8, 8, 36.7), (3, 6, 6, 30.0), (4, 8, 8, 30.1), (4, 6, 6, 20.7), (5, 8, 8, 23.2), (5, 6, 8, 10.2)],
)
def test_cyclic_precision_per_iteration_saves_what_the_formula_gives(lo, hi, bw, percent):
    plan = Plan(Repeated(lo, hi, 64_000, 32), Static(bw))
    found = saving(plan, Plan(Static(hi), Static(bw)), 64_000)
    assert 100 * found == pytest.approx(percent, abs=0.05)


def test_short_cycles_per_epoch_save_more():
    found = saving(Plan(Repeated(3, 8, 160, 32), Static(8)), STATIC_8, 160)
    assert 100 * found == pytest.approx(43.4, abs=0.05)


def test_passes_count_apart_and_full_precision_counts_as_32_bits():
    assert pass_bitops(10, 3, 8, samples=2) == PassBitops(180.0, 480.0, 480.0)
    assert pass_bitops(1, 0, 8) == pass_bitops(1, 32, 8)


def test_the_passes_of_a_run_add_up():
    layers, plan = cifar_resnet(8).layers, Plan(Repeated(3, 8, 10, 2), Static(6))
    found = run_bitops(layers, plan, 10, samples=5)
    each = [plan.bits(step)[0] for step in range(10)]
    macs = counted_macs(layers) * 5 / 10
    assert found.forward == pytest.approx(macs * sum(fw * fw for fw in each))
    assert found.dx == found.dw == pytest.approx(macs * sum(6 * fw for fw in each))
    assert run_gbitops(layers, plan, 10, samples=5) == pytest.approx(found.total / 1e9)


@pytest.mark.parametrize("depth", [7, 2, 21])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(ValueError, match=f"^depth is {depth}; allowed: 6n"):
        cifar_resnet(depth)


def test_digits_sized_network_keeps_its_images_consistent():
    net = cifar_resnet(8, classes=10, image_size=8, image_channels=1, width=8)
    assert [block.main[0][0].height for block in net.blocks] == [8, 8, 4]
    assert [block.shortcut is not None for block in net.blocks] == [False, True, True]
    assert net.classifier.in_features == 32
