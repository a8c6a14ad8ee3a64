"""Networks by name, as the command line has them."""

from __future__ import annotations

import re

import torch
from torch import nn

from cpt.model.architecture.resnet import DEEPEST, IMAGENET_DEPTHS
from cpt.model.networks import (
    Aggregation,
    GraphNetwork,
    LstmLM,
    MobileNetV2,
    PixelAttentionNetwork,
    TransformerLM,
    VisionTransformer,
    cifar_resnet,
    deit_tiny,
    imagenet_resnet,
)
from cpt.model.training.config import TorchConfig
from cpt.model.training.tasks import (
    Classification,
    LanguageModel,
    NodeClassification,
    SuperResolution,
    Task,
)

LARGE_SIDE = 64
"""Images from this side on get ImageNet's ResNets where a depth exists in both families."""


def build_network(config: TorchConfig, task: Task) -> nn.Module:
    """The network ``config.model`` for ``task``, in full precision; a `ValueError` names the choices."""
    if isinstance(task, Classification):
        return _classifier(config, task)
    if isinstance(task, LanguageModel):
        vocabulary = len(task.tokens.vocabulary)
        match = re.fullmatch(r"(transformer|lstm)(\d{0,3})", config.model)
        if match and match[1] == "transformer":
            depth = int(match[2] or 6)
            heads = max(1, config.width // 64)
            return TransformerLM(
                vocabulary, config.width, depth, heads, context=config.sequence, dropout=config.dropout
            )
        if match:
            return LstmLM(vocabulary, config.width, int(match[2] or 2), config.dropout)
        raise ValueError(
            f"model is {config.model!r}; allowed for {task.name}: transformer, lstm, or either with its depth"
        )
    if isinstance(task, NodeClassification):
        return _graph_network(config, task)
    assert isinstance(task, SuperResolution)
    match = re.fullmatch(r"pan(\d{0,3})", config.model)
    if not match:
        raise ValueError(f"model is {config.model!r}; allowed for {task.name}: pan, panB with B blocks")
    return PixelAttentionNetwork(task.pictures.scale, config.width, blocks=int(match[1] or 16))


def _graph_network(config: TorchConfig, task: NodeClassification) -> nn.Module:
    match = re.fullmatch(r"gcn(\d{0,3})", config.model)
    depth = int(match[1] or 2) if match else 0
    if depth < 2:
        raise ValueError(
            f"model is {config.model!r}; allowed for {task.name}: gcn, gcnN with N layers, at least 2"
        )
    graph = task.graph
    aggregation = Aggregation(*map(torch.from_numpy, graph.neighbours()))
    return GraphNetwork(
        aggregation, graph.features.shape[1], graph.classes, config.width, depth, config.dropout
    )


def _classifier(config: TorchConfig, task: Classification) -> nn.Module:
    side, across, channels = task.images.shape
    classes = task.images.classes
    if task.network:
        return task.network.build(classes, channels, (side, across))
    match = re.fullmatch(r"resnet(\d{1,4})", config.model)
    if match:
        depth = int(match[1])
        if side == across and side >= LARGE_SIDE and channels == 3 and depth in IMAGENET_DEPTHS:
            return imagenet_resnet(depth, classes, side)
        if 8 <= depth <= DEEPEST and depth % 6 == 2:
            return cifar_resnet(depth, classes, (side, across), channels, config.width)
    if side != across and config.model in ("mobilenetv2", "deit-tiny", "vit"):
        raise ValueError(f"model is {config.model!r}; allowed for images of {side} x {across}: resnetD")
    if config.model == "mobilenetv2":
        return MobileNetV2(classes, side, channels)
    if config.model == "deit-tiny" and channels == 3:
        return deit_tiny(classes, side)
    if config.model == "vit":
        return VisionTransformer(classes, side, max(2, side // 8), config.width, 4, 2, channels)
    depths = ", ".join(map(str, IMAGENET_DEPTHS))
    raise ValueError(
        f"model is {config.model!r}; allowed: resnetD with D = 6n+2 (resnet8, resnet20, ...), mobilenetv2, "
        f"vit, and for large images deit-tiny, resnetD with D = {depths}"
    )
