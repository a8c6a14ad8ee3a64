"""Quantised multi-head attention: the four projections; the attention itself stays float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.layers.adopt import adopt
from cpt.model.layers.linear import quantised_linear
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, part_precision, without_precision


class QuantMultiheadAttention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` with quantised projections, one precision for each of q, k, v and out."""

    @classmethod
    def from_float(cls, attention: nn.MultiheadAttention, config: QuantConfig, layer: int) -> nn.Module:
        """A quantised layer with all that ``attention`` holds, numbered from ``layer`` on."""
        if attention.bias_k is not None or attention.add_zero_attn:
            raise ValueError("attention has bias_k or add_zero_attn; allowed: neither")
        new = adopt(cls, attention)
        for offset, part in enumerate(("q", "k", "v", "out")):
            item = LayerPrecision(config, layer + offset, attention.out_proj.weight.device)
            new.add_module(f"precision_{part}", item)
        return new

    def to_float(self) -> nn.MultiheadAttention:
        """The layer that this one was made from, with the weights of now."""
        return without_precision(nn.MultiheadAttention, self)

    @without_autocast
    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `torch.nn.MultiheadAttention`: (output, attention weights or None), masks included.

        The weights cost a slower path: ``need_weights=False`` where nobody looks at them.
        """
        if is_causal and attn_mask is None:
            raise ValueError("is_causal is True without attn_mask; allowed: with the mask it is a hint about")
        batched = query.dim() == 3
        q, k, v = (
            quantised_linear(part_precision(self, part), self._batch_first(x), w, b)
            .unflatten(-1, (self.num_heads, -1))
            .transpose(1, 2)  # (B, heads, T, E / heads)
            for part, x, (w, b) in zip("qkv", (query, key, value), self._projections(), strict=True)
        )
        mask = _sum_of_masks(attn_mask, key_padding_mask, q)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
            weights = nn.functional.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
            y = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        else:
            causal = is_causal and key_padding_mask is None
            y = nn.functional.scaled_dot_product_attention(
                q, k, v, None if causal else mask, dropout, is_causal=causal
            )
        y = y.transpose(1, 2).flatten(2)  # (B, T, E)
        y = quantised_linear(part_precision(self, "out"), y, self.out_proj.weight, self.out_proj.bias)
        if not batched:
            return y.squeeze(0), weights
        return y if self.batch_first else y.transpose(0, 1), weights

    def _batch_first(self, x: Tensor) -> Tensor:
        """(B, T, E)."""
        if x.dim() == 2:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _projections(self) -> list[tuple[Tensor, Tensor | None]]:
        """(weight, bias) of q, k and v."""
        weights = (
            self.in_proj_weight.chunk(3)
            if self._qkv_same_embed_dim
            else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        )
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return list(zip(weights, biases, strict=True))


def _sum_of_masks(attn_mask: Tensor | None, padding: Tensor | None, q: Tensor) -> Tensor | None:
    """Both masks as one to add to the scores (B, heads, T, S); True in a boolean one forbids."""
    if attn_mask is not None and attn_mask.dim() == 3:
        attn_mask = attn_mask.unflatten(0, (q.shape[0], -1))
    if padding is not None:
        padding = padding.reshape(q.shape[0], 1, 1, -1)
    total = None
    for mask in (attn_mask, padding):
        if mask is None:
            continue
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, float("-inf"))
        total = mask if total is None else total + mask
    return total
