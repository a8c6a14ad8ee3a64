"""What every module knows that a quantiser is at work in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from cpt.model.config import QuantConfig
from cpt.model.layers.adopt import Layer, adopt
from cpt.model.quantisers import Batch

CONFIG = "quantisation"
"""Key of the configuration in the metadata of a state dict."""


class Quantised(nn.Module):
    """Base of `LayerPrecision`, and of modules that quantisers put in place of others.

    Its state dict says how it is quantised, in the metadata that `torch.save` keeps.
    """

    config: QuantConfig
    batch = Batch()
    """What is to be known of the batch beyond a tensor; training in several processes sets another."""

    def unplugged(self, kind: type[Layer]) -> Layer:
        """A ``kind`` with all that this module holds but what is said here."""
        new = adopt(kind, self)
        for name in ("config", "batch"):
            vars(new).pop(name, None)
        return new

    def check_state(self, metadata: Mapping[str, Any], name: str) -> None:
        """Raise `ValueError` if ``metadata`` of a state dict says that another quantiser made it."""
        own, options = self.config.plug, self.config.plug.options()
        said = metadata.get(CONFIG, {"quantiser": metadata.get("quantiser", own.name)})
        made_by, theirs = said["quantiser"], options | said.get("quantiser_options", {})
        if made_by != own.name:
            raise ValueError(f"state of layer {name} is of quantiser {made_by!r}; allowed: {own.name}")
        for option, value in theirs.items():
            if value != options.get(option):
                raise ValueError(
                    f"state of layer {name} is of quantiser {made_by!r} with {option} {value!r}; "
                    f"allowed: {options.get(option)!r}"
                )

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
        if metadata is not None:
            metadata[CONFIG] = self.config.as_dict()
