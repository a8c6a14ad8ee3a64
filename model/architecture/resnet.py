"""Residual networks: CIFAR's 6n + 2 family and the ImageNet ones, as data."""

from __future__ import annotations

from dataclasses import dataclass

from cpt.model.architecture.layers import Conv, Layer, Linear, Norm, conv_norm

ConvNorm = tuple[Conv, Norm]
Size = int | tuple[int, int]
"""Of an image: the side of a square one, or height and width."""


@dataclass(frozen=True)
class Block:
    """``relu(main(x) + shortcut(x))``: ReLU between the convolutions of ``main``; no shortcut is identity."""

    name: str
    main: tuple[ConvNorm, ...]
    shortcut: ConvNorm | None


@dataclass(frozen=True)
class ResNet:
    """Stem (convolution, norm, ReLU), blocks, mean over the image, classifier."""

    name: str
    stem: ConvNorm
    blocks: tuple[Block, ...]
    classifier: Linear
    stem_pool: bool = False
    """A 3x3 max pooling of stride 2 follows the stem (ImageNet)."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers that count, in order."""
        found: list[Layer] = [*self.stem]
        for block in self.blocks:
            for pair in (*block.main, *((block.shortcut,) if block.shortcut else ())):
                found.extend(pair)
        return (*found, self.classifier)


DEEPEST = 1202
"""Of He et al. 2016, section 4.2."""


def cifar_resnet(
    depth: int, classes: int = 10, image_size: Size = 32, image_channels: int = 3, width: int = 16
) -> ResNet:
    """ResNet of ``depth`` = 6n + 2: three stages of n basic blocks, widths 1, 2 and 4 times ``width``.

    Strides 1, 2, 2; 1x1 convolution and norm as shortcut where the shape changes. Everything but the
    classifier is quantised. Raises `ValueError` for another depth. Source: He et al. 2016 section 4.2;
    docs/numerics.md (ResNet-164 has basic blocks, n = 27).
    """
    if not 8 <= depth <= DEEPEST or depth % 6 != 2:
        raise ValueError(f"depth is {depth}; allowed: 6n + 2 with n at least 1 (8, 14, 20, ... {DEEPEST})")
    blocks = []
    size, channels = image_size, width
    for stage in range(3):
        for index in range((depth - 2) // 6):
            stride = 2 if stage > 0 and index == 0 else 1
            block = _basic(f"stage{stage}.{index}", channels, width << stage, size, stride)
            blocks.append(block)
            last = block.main[-1][0]
            size, channels = (last.out_height, last.out_width), width << stage
    return ResNet(
        f"ResNet-{depth}",
        conv_norm("stem", image_channels, width, image_size),
        tuple(blocks),
        Linear("classifier", channels, classes, quantised=False),
    )


_IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
IMAGENET_DEPTHS = tuple(_IMAGENET_BLOCKS)


def imagenet_resnet(depth: int, classes: int = 1000, image_size: int = 224) -> ResNet:
    """ResNet-18, -34 (basic blocks) or -50 (bottlenecks); stem, shortcuts and classifier stay unquantised."""
    if depth not in _IMAGENET_BLOCKS:
        allowed = ", ".join(map(str, IMAGENET_DEPTHS))
        raise ValueError(f"depth is {depth}; allowed: {allowed}")
    stem = conv_norm("stem", 3, 64, image_size, kernel=7, stride=2, quantised=False)
    build, expansion = (_bottleneck, 4) if depth == 50 else (_basic, 1)
    size, channels = (stem[0].out_height - 1) // 2 + 1, 64
    blocks = []
    for stage, count in enumerate(_IMAGENET_BLOCKS[depth]):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            name, out_channels = f"stage{stage}.{index}", (64 << stage) * expansion
            block = build(name, channels, out_channels, size, stride, quantise_shortcut=False)
            blocks.append(block)
            size, channels = (size - 1) // stride + 1, out_channels
    classifier = Linear("classifier", channels, classes, quantised=False)
    return ResNet(f"ResNet-{depth}", stem, tuple(blocks), classifier, stem_pool=True)


def _shortcut(
    name: str, in_channels: int, out_channels: int, size: Size, stride: int, quantised: bool
) -> ConvNorm | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return conv_norm(f"{name}.shortcut", in_channels, out_channels, size, 1, stride, quantised=quantised)


def _basic(
    name: str, in_channels: int, out_channels: int, size: Size, stride: int, quantise_shortcut: bool = True
) -> Block:
    first = conv_norm(f"{name}.0", in_channels, out_channels, size, stride=stride)
    second = conv_norm(f"{name}.1", out_channels, out_channels, (first[0].out_height, first[0].out_width))
    shortcut = _shortcut(name, in_channels, out_channels, size, stride, quantise_shortcut)
    return Block(name, (first, second), shortcut)


def _bottleneck(
    name: str, in_channels: int, out_channels: int, size: int, stride: int, quantise_shortcut: bool = True
) -> Block:
    inner = out_channels // 4
    first = conv_norm(f"{name}.0", in_channels, inner, size, kernel=1)
    second = conv_norm(f"{name}.1", inner, inner, size, stride=stride)
    third = conv_norm(f"{name}.2", inner, out_channels, second[0].out_height, kernel=1)
    shortcut = _shortcut(name, in_channels, out_channels, size, stride, quantise_shortcut)
    return Block(name, (first, second, third), shortcut)
