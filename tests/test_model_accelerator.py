"""The torch layer and the accelerator's layer compute with the same codes."""

import numpy as np
import pytest
import torch
from driven import fast_backend, opened
from torch import nn

from cpt.host.engine import GemmEngine
from cpt.host.layers import InitialWeights, StepContext
from cpt.host.layers import QuantConv2d as AcceleratorConv2d
from cpt.host.precision import BACKWARD_SLOT, FORWARD_SLOT, PrecisionSlots
from cpt.model.architecture import Conv
from cpt.model.config import QuantConfig
from cpt.model.layers import QuantConv2d

torch.set_num_threads(1)
SEED, LAYER = 5, 3


def channels_first(x):
    return torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)


def assert_same_codes(torch_value, accelerator_value):
    """A code that differed would show as a whole step, far above the rounding of float32 sums."""
    want = channels_first(accelerator_value)
    assert (torch_value.detach() - want).abs().max() <= 3e-6 * want.abs().max()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "fw", "bw"), [(3, 1, 1, 3, 8), (3, 2, 1, 8, 6), (1, 2, 0, 5, 3)]
)
def test_training_steps_and_evaluation_agree_with_the_accelerator(kernel, stride, padding, fw, bw):
    rng = np.random.default_rng(0)
    shape = Conv("conv", 5, 7, kernel, stride, padding, 6, 6)
    with opened(fast_backend(memory_bytes=1 << 24)) as accelerator:
        slots = PrecisionSlots({FORWARD_SLOT: 8, BACKWARD_SLOT: 8}, accelerator.set_slot)
        theirs = AcceleratorConv2d(shape, index=LAYER, initial=InitialWeights())
        theirs.plan((2, 6, 6, 5), GemmEngine(accelerator, slots))
        slots.set(FORWARD_SLOT, fw)
        slots.set(BACKWARD_SLOT, bw)
        float_layer = nn.Conv2d(5, 7, kernel, stride, padding, bias=False)
        float_layer.weight.data = channels_first(theirs.parameters["weight"].value).clone()
        ours = QuantConv2d.from_float(float_layer, QuantConfig(fw=fw, bw=bw, seed=SEED), LAYER)
        for step in range(3):
            context = StepContext(training=True, seed=SEED, step=step)
            image = rng.standard_normal((2, 6, 6, 5)).astype(np.float32) + np.float32(step)
            x = channels_first(image).requires_grad_()
            y, expected = ours(x), theirs.forward(image, context)
            assert_same_codes(y, expected)
            grad = rng.standard_normal(expected.shape).astype(np.float32)
            ours.weight.grad = None
            y.backward(channels_first(grad))
            assert_same_codes(x.grad, theirs.backward(grad, context))
            assert_same_codes(ours.weight.grad, theirs.parameters["weight"].grad)
        image = rng.standard_normal((2, 6, 6, 5)).astype(np.float32)
        ours.eval()
        assert_same_codes(ours(channels_first(image)), theirs.forward(image, StepContext(training=False)))
        assert np.array_equal(ours.precision.range.numpy(), theirs.buffers["range"])
