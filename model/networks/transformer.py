"""Transformers: the pre-norm encoder block, a language model and DeiT-Tiny."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for q, k and v and one for the output."""

    def __init__(self, width: int, heads: int, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads is {heads}; allowed: a divisor of the width ({width})")
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        q, k, v = (
            self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, T, D/heads)
        dropout = self.dropout if self.training else 0.0
        y = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(
        self, width: int, heads: int, hidden: int, causal: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal, dropout)
        self.expand, self.reduce = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.reduce(nn.functional.gelu(self.expand(self.norm2(x)))))


class TransformerLM(nn.Module):
    """Decoder-only language model: tokens (B, T) to logits (B, T, vocabulary).

    The output layer shares the embedding's weights and stays in full precision.
    """

    full_precision_layers = frozenset({"head"})

    def __init__(
        self,
        vocabulary: int,
        width: int = 512,
        depth: int = 6,
        heads: int = 8,
        context: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.context = context
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, 4 * width, causal=True, dropout=dropout) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        _initialise(self)
        nn.init.normal_(self.positions, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) with T at most ``context`` -> logits of each next token (B, T, vocabulary)."""
        length = tokens.shape[1]
        if length > self.context:
            raise ValueError(f"sequence is {length} tokens; allowed: at most {self.context}")
        x = self.dropout(self.tokens(tokens) + self.positions[:length])
        return self.head(self.norm(self.blocks(x)))


class VisionTransformer(nn.Module):
    """Patches, a class token, encoder blocks, classifier: images (N, C, H, W) to logits (N, classes).

    The patch embedding and the classifier stay in full precision, as ImageNet's stem and last layer do.
    """

    full_precision_layers = frozenset({"patches", "classifier"})

    def __init__(
        self,
        classes: int = 1000,
        image_size: int = 224,
        patch: int = 16,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        if image_size % patch:
            raise ValueError(f"patch is {patch}; allowed: a divisor of the image size ({image_size})")
        count = (image_size // patch) ** 2
        self.patches = nn.Conv2d(image_channels, width, patch, patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, count + 1, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, 4 * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)
        _initialise(self)
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = self.patches(x).flatten(2).transpose(1, 2)  # (N, patches, width)
        x = torch.cat((self.class_token.expand(x.shape[0], -1, -1), x), 1) + self.positions
        return self.classifier(self.norm(self.blocks(x))[:, 0])


def deit_tiny(classes: int = 1000, image_size: int = 224) -> VisionTransformer:
    """DeiT-Tiny (Touvron et al. 2021): 12 blocks, width 192, 3 heads, patches of 16."""
    return VisionTransformer(classes, image_size)


def _initialise(model: nn.Module) -> None:
    """Truncated normal weights, zero biases."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
