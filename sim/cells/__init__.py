"""Models of the 7-series primitives in the matrix unit, after UG474 and UG479, and proofs with them."""
