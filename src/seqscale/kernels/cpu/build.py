"""Builds the C sources of `native/` on first use and keeps the library in the user's cache.

Why C, compiled where it runs: a wheel without binaries installs anywhere; the sources have a plain C interface and no
torch headers, so building takes a second or two and loading through ctypes milliseconds; and the vectors are as wide
as this machine's. What is asked for is a C compiler, which a machine that installs Python packages mostly has.

The library's name holds a digest of sources, flags and compiler, so a changed one is built anew and an old one never
loaded. It is written beside its place and renamed into it: processes that build at the same time do not disturb each
other. Where no cache can be written it is built into a temporary folder, for this process alone.

Environment: CC, the compiler (else cc, gcc or clang); XDG_CACHE_HOME, whose folder seqscale/native is the cache (else
~/.cache); SEQSCALE_CPU_ISA, "avx512", "avx2" or "baseline", for narrower vectors than the machine has (tests).
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

TILE = 32
NATIVE = Path(__file__).with_name("native")

# In order of width. -mtune stays at its default: the library may be shared by a cluster's machines of one width.
ISAS = {
    "avx512": [
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"),
        *("-mavx2", "-mfma", "-mprfchw"),
    ],
    "avx2": ["-mavx2", "-mfma", "-mprfchw"],
    "baseline": [],
}
# No -ffast-math: NaN and infinity must come through. Contraction to fused multiply-add is meant.
_FLAGS = ["-std=gnu11", "-O3", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", f"-DTILE={TILE}"]
_OPENMP = "-fopenmp"

# Functions and how many structs each takes, as packed bytes; they return 0, or 1 where memory ran out.
_FUNCTIONS = {
    "seqscale_scan_forward": 1,
    "seqscale_scan_backward": 1,
    "seqscale_convolution_forward": 1,
    "seqscale_convolution_backward": 1,
    "seqscale_step": 1,
    "seqscale_mamba_step": 3,
}


class NativeUnavailable(RuntimeError):
    """The native library cannot be had here; the text says why."""


def isa() -> str:
    """The vectors to build for: what this machine has, or the narrower ones that SEQSCALE_CPU_ISA names.

    Raises:
        NativeUnavailable: SEQSCALE_CPU_ISA is unknown, or wider than this machine.
    """
    widest = {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "baseline")
    if platform.machine().lower() not in ("x86_64", "amd64"):
        widest = "baseline"
    wanted = os.environ.get("SEQSCALE_CPU_ISA") or widest
    allowed = list(ISAS)[list(ISAS).index(widest) :]
    if wanted not in allowed:
        raise NativeUnavailable(f"SEQSCALE_CPU_ISA is {wanted!r}; this machine allows {', '.join(allowed)}")
    return wanted


@functools.cache
def load() -> ctypes.CDLL:
    """The library, built if need be. It is looked for once per process, and so is the reason why there is none.

    Raises:
        NativeUnavailable: no compiler, a compiler that fails, or a library that cannot be loaded.
    """
    reason = _reason()
    if reason:
        raise NativeUnavailable(reason)
    return _library()


def available() -> bool:
    """Whether `load` gives the library; builds it on the first call."""
    return not _reason()


def reason() -> str:
    """Why there is no library; empty where there is one."""
    return _reason()


def forget() -> None:
    """Look anew on the next call: after a change of the environment (tests)."""
    for function in (load, _reason, _library):
        function.cache_clear()


@functools.cache
def _reason() -> str:
    try:
        _library()
    except NativeUnavailable as error:
        return str(error)
    return ""


@functools.cache
def _library() -> ctypes.CDLL:
    if os.name != "posix" or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise NativeUnavailable("it is written for 64-bit Linux and macOS")
    flags = [*_FLAGS, *ISAS[isa()]]
    compiler, cache, stem = _compiler(), _cache(), _stem(flags)
    if compiler is None:
        built = sorted(cache.glob(f"{stem}-*.so")) if cache else []  # by a compiler that is gone: as good as any
        if not built:
            raise NativeUnavailable("there is no C compiler (looked for $CC, cc, gcc, clang)")
        return _open(built[0])
    name = f"{stem}-{_identity(compiler)}.so"
    if cache is not None:
        path = cache / name
        if path.exists():
            with contextlib.suppress(NativeUnavailable):  # a damaged file: build it anew
                return _open(path)
        _build(compiler, flags, path)
        return _open(path)
    with tempfile.TemporaryDirectory(prefix="seqscale-") as folder:
        path = Path(folder) / name
        _build(compiler, flags, path)
        return _open(path)  # stays usable when its file is gone


def _stem(flags: list[str]) -> str:
    """The library's name but for its compiler: system, vectors, digest of flags and sources."""
    digest = hashlib.sha256(repr(flags).encode())
    for source in sorted(NATIVE.glob("*.[ch]")):
        digest.update(source.name.encode() + source.read_bytes())
    return f"{platform.system()}-{platform.machine()}-{isa()}-{digest.hexdigest()[:16]}".lower()


def _compiler() -> list[str] | None:
    """The compiler's command, its first word an existing file; None where there is none."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        path = shutil.which(command[0])
        if path:
            return [path, *command[1:]]
    return None


def _identity(compiler: list[str]) -> str:
    """Changes when the compiler does; by its file, because asking it for its version costs more than loading."""
    stat = os.stat(os.path.realpath(compiler[0]))
    return hashlib.sha256(repr((compiler, stat.st_size, stat.st_mtime_ns)).encode()).hexdigest()[:8]


def _cache() -> Path | None:
    """The cache folder; None where it cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "seqscale" / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _build(compiler: list[str], flags: list[str], target: Path) -> None:
    """Compile, link, rename into place. Without OpenMP (one thread) where the compiler knows none."""
    try:
        folder = tempfile.mkdtemp(prefix="build-", dir=target.parent)
    except OSError as error:
        raise NativeUnavailable(f"it cannot be built in {target.parent}: {error}") from error
    try:
        library = os.path.join(folder, "library.so")
        said = _compile([*compiler, *flags, _OPENMP], folder, library)
        if said and _compile([*compiler, *flags], folder, library):
            raise NativeUnavailable(f"the compiler {shlex.join(compiler)} failed: {said}")
        os.replace(library, target)
    except OSError as error:
        raise NativeUnavailable(f"it cannot be built in {target.parent}: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(command: list[str], folder: str, library: str) -> str:
    """Sources side by side, the longest first, then the library; empty, or what went wrong."""
    sources = sorted(NATIVE.glob("*.c"), key=lambda source: -source.stat().st_size)
    objects = [os.path.join(folder, f"{source.stem}.o") for source in sources]
    steps = [[*command, "-c", str(source), "-o", made] for source, made in zip(sources, objects, strict=True)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for said in pool.map(_run, steps):
            if said:
                return said
    return _run([*command, "-shared", *objects, "-o", library, "-lm", "-lpthread"])


def _run(command: list[str]) -> str:
    """Run a command; empty, or the first lines of what went wrong."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower()] or lines or [f"exit status {done.returncode}"]
    return " / ".join(wrong[:3])


def _open(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeUnavailable(f"the library that was built cannot be loaded: {error}") from error
    for name, structs in _FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_char_p] * structs, ctypes.c_int
    return library
