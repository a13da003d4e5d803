"""Triton kernels. Imported only when they are to run: the rest of the package works without Triton."""
