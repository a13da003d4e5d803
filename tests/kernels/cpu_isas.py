"""The vector widths that this machine can run, narrowest last; a test takes one through the fixture `isa`."""

import pytest

from seqscale.kernels.cpu import build


def allowed() -> list[str]:
    """Names as SEQSCALE_CPU_ISA takes them; empty where nothing can be built."""
    return list(build.ISAS)[list(build.ISAS).index(build.isa()) :] if build.available() else []


@pytest.fixture(params=list(build.ISAS))
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """The native library built for one width, for the length of a test."""
    if request.param not in allowed():
        pytest.skip(f"{request.param}: {build.reason() or 'this machine has no such vectors'}")
    monkeypatch.setenv("SEQSCALE_CPU_ISA", request.param)
    build.forget()
    yield request.param
    monkeypatch.undo()
    build.forget()
