"""Quantised multi-head attention: the four projections; the attention itself stays float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.config import QuantConfig
from model.layers.linear import quantised_linear
from model.layers.precision import LayerPrecision, part_precision


class QuantMultiheadAttention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` with quantised projections, one precision for each of q, k, v and out."""

    @classmethod
    def from_float(cls, attention: nn.MultiheadAttention, config: QuantConfig, layer: int) -> nn.Module:
        """A quantised layer that shares the parameters of ``attention``, numbered from ``layer`` on."""
        if not attention._qkv_same_embed_dim or attention.bias_k is not None or attention.add_zero_attn:
            raise ValueError("attention has kdim, vdim, bias_k or add_zero_attn; allowed: none of them")
        new = cls(
            attention.embed_dim,
            attention.num_heads,
            attention.dropout,
            attention.in_proj_bias is not None,
            batch_first=attention.batch_first,
            device="meta",
        )
        new.in_proj_weight, new.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        new.out_proj = attention.out_proj
        for offset, part in enumerate(("q", "k", "v", "out")):
            item = LayerPrecision(config, layer + offset, attention.in_proj_weight.device)
            new.add_module(f"precision_{part}", item)
        return new.train(attention.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """(T, B, E), or (B, T, E) with ``batch_first``: (output, None); attention weights are not returned.

        ``key_padding_mask`` (B, S): True where a key is padding. ``attn_mask``: boolean, True where attention
        is *forbidden*, or added to the scores, broadcastable to (B, heads, T, S).
        """
        streams = [x if self.batch_first else x.transpose(0, 1) for x in (query, key, value)]
        weights = self.in_proj_weight.chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (
            quantised_linear(part_precision(self, part), x, w, b)
            .unflatten(-1, (self.num_heads, -1))
            .transpose(1, 2)  # (B, heads, T, E / heads)
            for part, x, w, b in zip("qkv", streams, weights, biases, strict=True)
        )
        y = nn.functional.scaled_dot_product_attention(
            q,
            k,
            v,
            self._mask(attn_mask, key_padding_mask, q.dtype),
            self.dropout if self.training else 0.0,
            is_causal=is_causal and attn_mask is None,
        )
        y = y.transpose(1, 2).flatten(2)  # (B, T, E)
        out = part_precision(self, "out")
        y = quantised_linear(out, y, self.out_proj.weight, self.out_proj.bias)
        return y if self.batch_first else y.transpose(0, 1), None

    @staticmethod
    def _mask(attn_mask: Tensor | None, padding: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """Both masks as one to add to the scores."""
        total = None
        for mask in (attn_mask, None if padding is None else padding[:, None, None, :]):
            if mask is None:
                continue
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))
            total = mask if total is None else total + mask
        return total
