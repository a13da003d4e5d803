"""Linear systems x' = A x + B u, y = C x + D u: HiPPO's matrices, discretisation, and the way to SciPy. No torch.

`hippo` the matrices and what their states remember, `memory` that experiment, `discretise` ZOH and bilinear,
`scipy_export` a channel of a mixer as `scipy.signal.StateSpace` or `dlti`.
"""
