"""Native CPU kernels: C sources in `native/`, built on first use by `build`, called through ctypes."""
