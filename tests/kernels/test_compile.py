"""Every Triton kernel compiles for NVIDIA and AMD GPUs, within limits of registers and without spills. Needs no GPU.

The kernels and their limits are those of the `compile_cases` of the modules of seqscale.kernels.gpu. They are compiled
in processes of their own: in this one Triton may be running its interpreter.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

TARGETS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "gfx942": ("hip", "gfx942", 64)}


def compile_all(target: str) -> dict[str, dict[str, Any]]:
    """What the compiler says of every case, by "module:case": registers, bytes of local memory, or an error."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from seqscale.kernels.gpu.cases import all_cases

    said: dict[str, dict[str, Any]] = {}
    for module, case in all_cases():
        if target not in case.targets:
            continue
        said[f"{module}:{case.name}"] = found = {}
        types, constants, attributes = {}, {}, {}
        for i, name in enumerate(case.kernel.arg_names):
            if name in case.constants:
                types[name], constants[(i,)] = "constexpr", case.constants[name]
                continue
            types[name], _, divisor = case.signature[name].partition(":")
            if divisor:
                attributes[(i,)] = [["tt.divisibility", int(divisor)]]
        source = ASTSource(case.kernel, types, constants, attributes)
        try:
            made = triton.compile(source, target=GPUTarget(*TARGETS[target]), options={"num_warps": case.num_warps})
        except Exception as error:
            causes = [error, error.__cause__, getattr(error.__cause__, "__cause__", None)]
            found["error"] = " / ".join(str(e).strip()[-600:] for e in causes if e is not None)
            continue
        if "cubin" in made.asm:
            found.update(usage(made.asm["cubin"], triton))
    return said


def usage(cubin: bytes, triton: Any) -> dict[str, int]:
    """Registers, and bytes of local memory (spills), per thread, as the disassembler of Triton's package tells them."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    numbers = {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", said)}
    return {"registers": numbers["REG"], "local": numbers["STACK"] + numbers["LOCAL"]}


def _cases() -> dict[str, Any]:
    try:
        from seqscale.kernels.gpu.cases import all_cases
    except ImportError:
        return {}
    return {f"{module}:{case.name}": case for module, case in all_cases()}


CASES = _cases()


@pytest.fixture(scope="module")
def said(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    """By target, what `compile_all` found; all targets at the same time."""
    folder = tmp_path_factory.mktemp("compiled")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(root / "src"), environment.get("PYTHONPATH", "")])
    environment["TRITON_CACHE_DIR"] = str(folder / "cache")  # compiled anew, whatever is in the user's
    running = {}
    for target in TARGETS:
        command = [sys.executable, __file__, target, str(folder / f"{target}.json")]
        running[target] = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    outputs = {target: process.communicate()[0] for target, process in running.items()}
    for target, process in running.items():
        assert process.returncode == 0, f"{target}: {outputs[target][-3000:]}"
    return {target: json.loads((folder / f"{target}.json").read_text()) for target in TARGETS}


def test_every_module_with_kernels_has_cases() -> None:
    pytest.importorskip("triton")
    assert {"convolution", "step"} <= {name.partition(":")[0] for name in CASES}
    compiled = {case.kernel.__name__ for case in CASES.values()}
    package = Path(sys.modules["seqscale.kernels.gpu.cases"].__file__ or "").parent
    launched = {name for path in package.glob("*.py") for name in re.findall(r"\b(\w+)\[\(?", path.read_text())}
    defined = {
        name
        for path in package.glob("*.py")
        for name in re.findall(r"@triton\.jit(?:\(.*\))?\ndef (\w+)\(", path.read_text())
    }
    missing = sorted((defined & launched) - compiled)
    assert not missing, f"kernels without a compile case: {', '.join(missing)}"


@pytest.mark.parametrize(
    ("name", "target"), [(name, target) for name, case in CASES.items() for target in case.targets]
)
def test_compiles_within_limits(name: str, target: str, said: dict[str, dict[str, dict[str, Any]]]) -> None:
    found, case = said[target][name], CASES[name]
    assert "error" not in found, found.get("error")
    if "registers" not in found:
        return  # AMD: that it compiles is what is asked
    assert found["registers"] <= case.registers, f"{found['registers']} registers a thread; allowed: {case.registers}"
    assert found["local"] <= case.spilled, f"{found['local']} bytes of local memory; allowed: {case.spilled}"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(compile_all(sys.argv[1]), indent=1))
