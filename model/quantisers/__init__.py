"""The quantisers: how weights, activations and gradients become few bits."""

from cpt.model.config import QuantConfig
from cpt.model.quantisers.base import Quantiser
from cpt.model.quantisers.dorefa import DoReFa
from cpt.model.quantisers.sbm import Sbm
from cpt.model.quantisers.wageubn import Wageubn

__all__ = ["DoReFa", "Quantiser", "Sbm", "Wageubn", "make_quantiser"]


def make_quantiser(config: QuantConfig) -> Quantiser:
    """The quantiser that ``config`` names."""
    if config.quantiser == "sbm":
        return Sbm(floor=config.floor, forward_weights_in_dx=config.dx_weights == "forward")
    return DoReFa() if config.quantiser == "dorefa" else Wageubn(config.flagged_errors)
