"""CIFAR's MobileNetV2 as a list of layers."""

from __future__ import annotations

from cpt.model.architecture.layers import Layer, Linear, conv_norm

INVERTED_RESIDUALS = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""(expansion, output channels, blocks, stride of the first), docs/numerics.md."""
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


def mobilenet_v2(
    classes: int = 10, image_size: int = 32, image_channels: int = 3, width: float = 1.0
) -> tuple[Layer, ...]:
    """Layers in order: stem of stride 1, inverted residuals, 1x1 head, classifier.

    ``width``: by what channels are multiplied, to multiples of 8 and at least 8.

    A block of stride 1 whose widths differ has a projection shortcut. Everything but the classifier is
    quantised, depth-wise layers included.
    """
    size, channels, head = image_size, widened(STEM_CHANNELS, width), widened(HEAD_CHANNELS, width)
    layers: list[Layer] = [*conv_norm("stem", image_channels, channels, image_size)]
    for stage, (expansion, usual, count, first_stride) in enumerate(INVERTED_RESIDUALS):
        out_channels = widened(usual, width)
        for index in range(count):
            stride = first_stride if index == 0 else 1
            name, inner = f"stage{stage}.{index}", channels * expansion
            layers.extend(conv_norm(f"{name}.expand", channels, inner, size, kernel=1))
            layers.extend(conv_norm(f"{name}.depthwise", inner, inner, size, stride=stride, groups=inner))
            if stride == 1 and channels != out_channels:
                layers.extend(conv_norm(f"{name}.shortcut", channels, out_channels, size, kernel=1))
            size = (size - 1) // stride + 1
            layers.extend(conv_norm(f"{name}.project", inner, out_channels, size, kernel=1))
            channels = out_channels
    layers.extend(conv_norm("head", channels, head, size, kernel=1))
    return (*layers, Linear("classifier", head, classes, quantised=False))


def widened(channels: int, width: float) -> int:
    """Channels of a layer in a network ``width`` times as wide: a multiple of 8, at least 8."""
    return max(int(channels * width + 4) // 8 * 8, 8)
