from __future__ import annotations

import os
import subprocess
import sys

import pytest

from interbert.utils import environment

FAULTS = """
import ctypes, resource, sys
sys.argv[0] = "bin/interbert"  # as the command, which loads nothing else
from interbert.utils.environment import keep_freed_memory
from interbert.utils.environment import _LARGE
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    block = libc.malloc(50_000_000)
    ctypes.memset(block, 1, 50_000_000)
    libc.free(block)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **variables: str) -> tuple[bool, int]:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, env=os.environ | variables
    )
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_was_freed_is_not_asked_for_again() -> None:
    kept, few = faults("keep")
    if not kept:
        pytest.skip("another C library")
    _, many = faults("leave")
    assert few < many / 2  # the first of four blocks


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_says_stays(name: str) -> None:
    assert not faults("keep", **{name: "65536" if name.startswith("M") else "glibc.malloc.check=0"})[0]


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert environment.keep_freed_memory() is False


RESIDENT = """
import ctypes
from interbert.utils.environment import return_freed_memory
from interbert.utils.environment import keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1])
blocks = [libc.malloc(50_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 50_000)
last = libc.malloc(50_000)  # behind them, so that the heap cannot end before
for block in blocks:
    libc.free(block)
kept = resident()
return_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_what_was_freed_goes_back_when_asked() -> None:
    if environment._of_glibc("malloc_trim") is None:
        pytest.skip("another C library")
    done = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 4096 > 25_000_000  # of 50 million bytes


def test_without_glibc_nothing_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    environment.return_freed_memory()
