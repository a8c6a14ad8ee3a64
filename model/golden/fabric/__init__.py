"""The training step of the fabric as functions in numpy: integers, and float32 in a stated order.

One function per operation of the machine, named as docs/numerics.md names it ("The step on the fabric"):

| file | what |
|---|---|
| `codes` | codes of weights, and the shift that their sums allow a drain |
| `product` | what the matrix unit hands over: products of codes, column sums |
| `drain` | F1 `forward_drain`, B1 `inner_error_drain`, B3 `block_error_drain`; statistics |
| `apply` | F2 `inner_apply`, F3 `block_apply` and `code_apply`, B2 `error_apply`, `image_apply` |
| `pool` | F4 `pool_sums`, `pool_gradient` |
| `channel` | statistics to coefficients, running averages |
| `classifier` | the linear layer behind pooling |
| `update` | gradients of micro-batches, weights |
| `hash` | noise of stochastic rounding |
| `float_unit`, `checks` | float32 operations, widths |
| `network`, `step`, `trainer` | what is trained, the order of passes, training on these functions alone |
"""
