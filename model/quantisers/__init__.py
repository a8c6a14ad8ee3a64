"""The quantisers: how weights, activations and gradients become few bits."""

from cpt.model.config import QuantConfig
from cpt.model.quantisers.base import Quantiser
from cpt.model.quantisers.dorefa import DoReFa
from cpt.model.quantisers.fabric import Fabric
from cpt.model.quantisers.sbm import Sbm
from cpt.model.quantisers.wageubn import Wageubn

__all__ = ["DoReFa", "Fabric", "Quantiser", "Sbm", "Wageubn", "make_quantiser"]


def make_quantiser(config: QuantConfig) -> Quantiser:
    """The quantiser that ``config`` names."""
    forward_weights_in_dx = config.dx_weights == "forward"
    if config.quantiser == "fabric":
        return Fabric(forward_weights_in_dx=forward_weights_in_dx)
    if config.quantiser == "sbm":
        return Sbm(config.floor, forward_weights_in_dx)
    return DoReFa() if config.quantiser == "dorefa" else Wageubn(config.flagged_errors)
