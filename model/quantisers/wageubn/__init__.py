"""WAGEUBN (Yang et al. 2020), in the form CPT compares with (docs/numerics.md)."""

from cpt.model.quantisers.wageubn.optimiser import FixedPointSGD
from cpt.model.quantisers.wageubn.quantiser import Wageubn

__all__ = ["FixedPointSGD", "Wageubn"]
