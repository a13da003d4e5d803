"""Building and caching the native library: every way in which it can go well or wrong on a user's machine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cpu_isas import isa

from seqscale.kernels.cpu import build
from seqscale.kernels.cpu.build import NativeUnavailable

__all__ = ["isa"]

needs_compiler = pytest.mark.skipif(build._compiler() is None, reason="there is no C compiler here")
SMALL = "int seqscale_scan_forward(const char *s) { return TILE + (s != 0); }\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of its own, and one small source in place of the real ones: building takes no time."""
    native = tmp_path / "native"
    native.mkdir()
    (native / "small.c").write_text(SMALL)
    monkeypatch.setattr(build, "NATIVE", native)
    monkeypatch.setattr(build, "_FUNCTIONS", {"seqscale_scan_forward": 1})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build.forget()
    yield tmp_path / "cache" / "seqscale" / "native"
    monkeypatch.undo()
    build.forget()


def never(*_: object) -> str:
    raise AssertionError("the compiler was called")


@needs_compiler
def test_builds_once_and_leaves_nothing_else(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build.available()
    assert build.load().seqscale_scan_forward(b"") == build.TILE + 1
    assert [path.suffix for path in cache.iterdir()] == [".so"]
    monkeypatch.setattr(build, "_run", never)
    build.forget()  # as a new process
    assert build.available() and build.reason() == ""


@needs_compiler
def test_a_changed_source_flag_or_compiler_is_built_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def built() -> int:
        build.forget()
        build.load()
        return len(list(cache.iterdir()))

    assert built() == built() == 1
    (build.NATIVE / "small.c").write_text(SMALL + "\n")
    assert built() == 2
    (build.NATIVE / "header.h").write_text("\n")
    assert built() == 3
    monkeypatch.setattr(build, "_FLAGS", [*build._FLAGS, "-DANOTHER"])
    assert built() == 4
    wrapper = build.NATIVE.parent / "wrapped-cc"
    wrapper.write_text(f'#!/bin/sh\nexec {build._compiler()[0]} "$@"\n')  # type: ignore[index]
    wrapper.chmod(0o755)
    monkeypatch.setenv("CC", f"{wrapper} -DTHIRD")
    assert built() == 5


@needs_compiler
def test_many_at_the_same_time_do_not_disturb_each_other(cache: Path) -> None:
    cache.mkdir(parents=True)
    compiler, target = build._compiler(), cache / "library.so"
    assert compiler is not None
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(build._build, compiler, build._FLAGS, target) for _ in range(8)]:
            done.result()
    assert [path.name for path in cache.iterdir()] == ["library.so"]
    assert build._open(target).seqscale_scan_forward(b"") == build.TILE + 1


def test_without_a_compiler_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert not build.available()
    assert "no C compiler" in build.reason()
    with pytest.raises(NativeUnavailable, match=r"looked for \$CC, cc, gcc, clang"):
        build.load()


@needs_compiler
def test_without_a_compiler_an_earlier_library_serves(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.load()
    monkeypatch.setenv("CC", "no-such-compiler")
    build.forget()
    assert build.available()
    (build.NATIVE / "small.c").write_text(SMALL + "/* another */")
    build.forget()
    assert not build.available(), "a library of other sources was taken"


def test_a_compiler_that_fails_is_quoted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = build.NATIVE.parent / "failing-cc"
    failing.write_text("#!/bin/sh\necho 'cc: fatal error: out of ink' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CC", str(failing))
    assert "failing-cc failed: cc: fatal error: out of ink" in build.reason()
    assert not cache.exists() or not list(cache.iterdir()), "something was left behind"


@needs_compiler
def test_a_compiler_without_openmp_serves(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build.NATIVE.parent / "plain-cc"
    plain.write_text(
        '#!/bin/sh\ncase "$*" in *-fopenmp*) echo "error: unsupported option -fopenmp" >&2; exit 1;; esac\n'
        f'exec {build._compiler()[0]} "$@"\n'  # type: ignore[index]
    )
    plain.chmod(0o755)
    monkeypatch.setenv("CC", str(plain))
    assert build.available(), build.reason()


@needs_compiler
def test_a_cache_that_cannot_be_written(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # below a file nothing can be made, not even by root
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    assert build.load().seqscale_scan_forward(b"") == build.TILE + 1
    assert set(tmp_path.iterdir()) == before, "the temporary folder was left behind"


@needs_compiler
def test_a_damaged_library_is_built_anew(cache: Path) -> None:
    compiler = build._compiler()
    assert compiler is not None
    cache.mkdir(parents=True)
    stem = build._stem([*build._FLAGS, *build.ISAS[build.isa()]])
    path = cache / f"{stem}-{build._identity(compiler)}.so"
    path.write_bytes(b"cut off in the mid")
    assert build.load().seqscale_scan_forward(b"") == build.TILE + 1
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize("wanted", ["avx1024", "AVX2 "])
def test_an_unknown_width_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("SEQSCALE_CPU_ISA", wanted)
    assert build.reason().startswith(f"SEQSCALE_CPU_ISA is {wanted!r}; this machine allows ")
    assert build.reason().endswith("baseline")


def test_a_width_that_the_machine_lacks_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setenv("SEQSCALE_CPU_ISA", "avx2")
    assert "this machine allows baseline" in build.reason()


@needs_compiler
def test_every_width_builds_and_loads(isa: str) -> None:
    assert build.available(), build.reason()
    assert build.isa() == isa


@needs_compiler
def test_the_first_call_is_soon_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real sources. The promise is five seconds on a machine at rest; here is room for a busy one."""
    from time import perf_counter

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.forget()
    began = perf_counter()
    build.load()
    first = perf_counter() - began
    build.forget()
    began = perf_counter()
    build.load()
    later = perf_counter() - began
    monkeypatch.undo()
    build.forget()
    assert first < 20
    assert later < 0.3


def test_sources_are_found_beside_the_module_and_shipped() -> None:
    root = Path(build.__file__).parents[4]
    assert {"scan_forward.c", "scan_backward.c", "vector.h"} <= {path.name for path in build.NATIVE.iterdir()}
    if (root / "pyproject.toml").exists():
        import tomllib

        data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
        patterns = [pattern for patterns in data.values() for pattern in patterns]
        assert any(pattern.endswith("*.c") for pattern in patterns) and any(p.endswith("*.h") for p in patterns)
