"""Thousands of hostile files: each is read rightly or refused in airkit's words, in 2 s and 500 MB.

A failure names the reader and the number of the input, and where it is kept. The same again:
``python -m fuzz.worker READER SEEDS FOLDER NUMBER NUMBER+1``, with the seeds of ``plant``.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import campaign, checksums, seeds
from fuzz.readers import READERS
from fuzz.watch import Watch

from airkit.errors import AirkitError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits and measures memory as Linux does"
)

QUICK, MANY = 200, 5_200
LEAST_READ = 0.03
"""Share of the inputs that must be read: a reader that refuses all would pass otherwise."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeds.plant(tmp_path_factory.mktemp("seeds"))


def check(report: campaign.Report, wanted: int) -> None:
    print(report)  # noqa: T201 - seen with -rP
    assert not report.failures, "\n".join([str(report), *report.failures])
    assert report.inputs == wanted
    assert report.read >= LEAST_READ * wanted
    assert len(report.ways) >= 4, "the inputs came to little"


def test_some_hostile_files(planted: Path) -> None:
    """All four readers in turn."""
    check(campaign.run(",".join(READERS), planted, 0, QUICK), QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_many_hostile_files(planted: Path, reader: str) -> None:
    check(campaign.run(reader, planted, 10_000, 10_000 + MANY), MANY)


def test_the_checksum_is_that_of_hdf5(planted: Path) -> None:
    """Mended headers are only worth something where HDF5 takes their sums for right."""
    data = (planted / "data.h5").read_bytes()
    assert checksums.lookup3(data[:44]) == int.from_bytes(data[44:48], "little")


def _hog(path: Path) -> None:
    bytearray(600 * 10**6)


def _quietly_hog(path: Path) -> None:
    try:
        _hog(path)
    except MemoryError as error:
        raise AirkitError("All is well", hint="nothing") from error


OFFENCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "exception": (lambda path: 1 // 0, "ZeroDivisionError"),
    "output": (lambda path: os.write(1, b"psst"), "said 'psst'"),
    "error output": (lambda path: os.write(2, b"psst"), "said 'psst'"),
    "warning": (lambda path: warnings.warn("mind", stacklevel=1), "warned: mind"),
    "program": (lambda path: os.system("true"), "os.system"),
    "code": (lambda path: eval("1"), "compile"),
    "another file": (lambda path: Path("/etc/hostname").open().close(), "opened '/etc/hostname'"),
    "debris": (lambda path: path.with_name("it.part").mkdir(), "left "),
    "memory": (_hog, "MemoryError"),
    "memory in an error's guise": (_quietly_hog, "ran out of memory"),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_the_watch_sees(tmp_path: Path, offence: str) -> None:
    do, fault = OFFENCES[offence]
    path = tmp_path / "input" / "it"
    path.parent.mkdir()
    path.write_bytes(b"")
    verdict = Watch(path).judge(do)
    assert any(fault in found for found in verdict.faults), verdict.faults


def test_the_watch_has_nothing_against_an_error_in_airkits_words(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise AirkitError("No", where=path, got=path.read_bytes(), hint="no")

    (tmp_path / "it").write_bytes(b"x")
    verdict = Watch(tmp_path / "it").judge(refuse)
    assert verdict.error.startswith("No\n")
    assert verdict.faults == []


def test_a_worker_that_hangs_is_a_failure_and_the_next_goes_on(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sitecustomize`` of the worker makes its second reading go wrong."""
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nfrom fuzz import watch\n"
        "old, seen = watch.Watch._read, []\n"
        "def read(self, read, verdict):\n"
        "    seen.append(1)\n"
        "    old(self, lambda path: time.sleep(60) if len(seen) == 2 else None, verdict)\n"
        "watch.Watch._read = read\n"
    )
    environment = campaign._environment()
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    monkeypatch.setattr(campaign, "_environment", lambda: environment)
    report = campaign.run("toml", planted, 0, 3)
    assert report.inputs == 3
    (failure,) = report.failures
    assert failure.startswith("toml 1 (")
    assert failure.endswith(": hung")
