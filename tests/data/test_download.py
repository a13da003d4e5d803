"""Downloads from a server on loopback that behaves, and from ones that do not."""

import hashlib
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loopback import Behaviour, serving

from seqscale.data.corpora import DataError
from seqscale.data.download import DownloadError, download
from seqscale.data.fetch import PinnedFile

BODY = bytes(range(256)) * 40  # 10,240 bytes: eleven pieces
SUM = hashlib.sha256(BODY).hexdigest()


def fetch(url: str, target: Path, **changes: Any) -> Path:
    quick = {"attempts": 3, "pause_seconds": 0.01, "timeout_seconds": 5.0}
    return download(f"{url}/file.bin", target, SUM, **{**quick, **changes})


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "file.bin"


def test_a_good_file_arrives_whole_and_once(target: Path) -> None:
    server = Behaviour(BODY)
    with serving(server) as url:
        assert fetch(url, target).read_bytes() == BODY
        fetch(url, target)
    assert server.requests == [None]
    assert [f.name for f in target.parent.glob("*.part")] == []


def test_a_good_file_without_a_stated_length(target: Path) -> None:
    with serving(Behaviour(BODY, say_length=False)) as url:
        assert fetch(url, target).read_bytes() == BODY


def test_a_file_that_is_not_there_is_told_at_once(target: Path) -> None:
    server = Behaviour(status=404)
    with serving(server) as url, pytest.raises(DownloadError, match=r"/file\.bin: the server answered 404.*no such"):
        fetch(url, target)
    assert len(server.requests) == 1, "404 does not pass by waiting"
    assert not target.exists()


def test_a_server_that_fails_twice_is_asked_again(target: Path) -> None:
    server = Behaviour(BODY, fail_first=2)
    with serving(server) as url:
        assert fetch(url, target).read_bytes() == BODY
    assert len(server.requests) == 3


def test_a_server_that_fails_always_is_given_up(target: Path) -> None:
    server = Behaviour(BODY, fail_first=99)
    with serving(server) as url, pytest.raises(DownloadError, match=r"answered 503 \(3 attempts\)"):
        fetch(url, target)
    assert len(server.requests) == 3


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x", b"", b"<html>sign in first</html>"], ids=len)
def test_wrong_bytes_are_refused_and_not_kept(target: Path, body: bytes) -> None:
    with serving(Behaviour(body)) as url, pytest.raises(DownloadError, match=rf"{len(body):,} bytes .*expected {SUM}"):
        fetch(url, target)
    assert not target.exists()
    with serving(Behaviour(BODY)) as url:  # nothing of it is left to spoil the next attempt
        assert fetch(url, target).read_bytes() == BODY


def test_a_truncated_file_is_noticed_without_a_stated_length(target: Path) -> None:
    server = Behaviour(BODY, say_length=False, stop_after=4000)
    with serving(server) as url, pytest.raises(DownloadError, match=r"4,000 bytes .*cut short"):
        fetch(url, target)
    assert not target.exists()


def test_dropped_connections_are_gone_on_from(target: Path) -> None:
    """Each answer breaks off after 3,000 bytes: more breaks than attempts, but each brings the file further."""
    server = Behaviour(BODY, stop_after=3000)
    with serving(server) as url:
        assert fetch(url, target, attempts=2).read_bytes() == BODY
    assert server.requests == [None, "bytes=3000-", "bytes=6000-", "bytes=9000-"]


def test_dropped_connections_where_the_server_cannot_resume(target: Path) -> None:
    server = Behaviour(BODY, stop_after=3000, ranges=False)
    with serving(server) as url, pytest.raises(DownloadError, match=r"broke off \(3 attempts\)"):
        fetch(url, target)
    server.stop_after = None
    with serving(server) as url:
        assert fetch(url, target).read_bytes() == BODY


def test_a_later_command_resumes(target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(BODY[:7000])
    server = Behaviour(BODY)
    with serving(server) as url:
        assert fetch(url, target).read_bytes() == BODY
    assert server.requests == ["bytes=7000-"]


@pytest.mark.parametrize("rest", [b"of another version" * 10, BODY + b"too long"], ids=["other", "longer"])
def test_a_rest_that_does_not_fit_is_started_anew(target: Path, rest: bytes) -> None:
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(rest)
    with serving(Behaviour(BODY)) as url:
        assert fetch(url, target).read_bytes() == BODY


def test_a_damaged_file_of_an_earlier_download_is_fetched_anew(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(BODY[:100])
    with serving(Behaviour(BODY)) as url:
        assert fetch(url, target).read_bytes() == BODY


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(target: Path) -> None:
    """0.7 s in all, with a limit of 0.5 s without a byte; then 2 s between pieces."""
    with serving(Behaviour(BODY, seconds_per_piece=0.07)) as url:
        assert fetch(url, target, timeout_seconds=0.5, attempts=1).read_bytes() == BODY
    target.unlink()
    with (
        serving(Behaviour(BODY, say_length=True, seconds_per_piece=2.0, ranges=False)) as url,
        pytest.raises(DownloadError, match=r"no answer within 0\.2 s \(2 attempts\)"),
    ):
        fetch(url, target, timeout_seconds=0.2, attempts=2)


def test_no_server(target: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match=r"cannot be reached \(2 attempts\)"):
        fetch(f"http://127.0.0.1:{port}", target, attempts=2)


def test_two_jobs_that_want_the_same_file_fetch_it_once(target: Path) -> None:
    server = Behaviour(BODY, seconds_per_piece=0.02)
    with serving(server) as url, ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: fetch(url, target).read_bytes(), range(3)))
    assert found == [BODY] * 3
    assert server.requests == [None]


def test_a_terminal_sees_a_progress_bar_and_a_log_does_not(
    target: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Behaviour(BODY)) as url:
        fetch(url, target)
        assert capsys.readouterr().err == ""
        target.unlink()
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        fetch(url, target)
    shown = capsys.readouterr().err
    assert "file.bin: 100%" in shown
    assert "10.2k/10.2k" in shown


def test_a_file_of_the_hub_comes_through_its_library(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    server = Behaviour(BODY)
    with serving(server) as url:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        assert download("hf://someone/some-model/vocab.txt", target, SUM).read_bytes() == BODY
        target.unlink()
        server.status = 404
        with pytest.raises(DownloadError, match=r"hf://someone/some-model/vocab\.txt: "):
            download("hf://someone/some-model/vocab.txt", target, SUM)


# --- the mirror, and what people are told ----------------------------------------------------------------------------


def test_the_mirror_goes_before_the_address(tmp_path: Path) -> None:
    (tmp_path / "mirror" / "corpus").mkdir(parents=True)
    (tmp_path / "mirror" / "corpus" / "a.txt").write_bytes(BODY)
    file = PinnedFile("corpus/a.txt", SUM, "http://127.0.0.1:9/a.txt")
    assert file.read(str(tmp_path / "mirror"), tmp_path / "downloads") == BODY
    assert not (tmp_path / "downloads").exists()


def test_a_damaged_file_of_the_mirror_is_named_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(BODY[:-1])
    with (
        serving(Behaviour(BODY)) as url,
        pytest.raises(DataError, match=r"a\.txt has the wrong checksum.*10,239 bytes"),
    ):
        PinnedFile("a.txt", SUM, f"{url}/a.txt").read(str(tmp_path), tmp_path / "downloads")


def test_what_the_mirror_lacks_is_downloaded_and_kept(tmp_path: Path) -> None:
    server = Behaviour(BODY)
    with serving(server) as url:
        file = PinnedFile("corpus/a.txt", SUM, f"{url}/a.txt")
        for _ in range(2):
            assert file.read(str(tmp_path / "mirror"), tmp_path / "downloads") == BODY
    assert len(server.requests) == 1


def test_the_error_names_the_mirror_the_address_and_what_to_do(tmp_path: Path) -> None:
    with serving(Behaviour(status=404)) as url, pytest.raises(DataError) as told:
        PinnedFile("corpus/a.txt", SUM, f"{url}/a.txt").read(str(tmp_path / "mirror"), tmp_path / "downloads")
    for part in (str(tmp_path / "mirror" / "corpus/a.txt"), f"{url}/a.txt", "404", "SEQSCALE_MIRROR", "data: {mirror"):
        assert part in str(told.value)


def test_a_file_without_an_address_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no mirror is set, and it has no public address.*SEQSCALE_MIRROR"):
        PinnedFile("sample.csv", SUM).read(None, tmp_path)
