"""Of several replicas one has a name at a time; one that is gone loses what it had, one that only pauses learns it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from interbert.service.state import State
from interbert.service.state import replicas as replicas_module
from interbert.service.state.replicas import ReplicaStore


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything ten times as fast."""
    for name in ("BEAT_SECONDS", "GONE_SECONDS", "_TRUSTED_SECONDS"):
        monkeypatch.setattr(replicas_module, name, getattr(replicas_module, name) / 10)


def freeze(replica: ReplicaStore) -> None:
    """End its beats, as SIGSTOP or a kill does."""
    replica._ending.set()
    assert replica._thread is not None
    replica._thread.join()


def claimed(replica: ReplicaStore, name: str) -> bool:
    """Whether it gets a name within some seconds."""
    end = time.monotonic() + 10
    while not replica.claim(name):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_one_of_many_gets_a_name_and_others_when_it_lets_go(open_state: Callable[[], State]) -> None:
    replicas = [open_state().replicas for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda one: one.claim("write shop"), replicas)) == 1
    (holder,) = [one for one in replicas if one.holds("write shop")]
    other = next(one for one in replicas if one is not holder)
    assert other.claim("write other shop")
    assert holder.claim("write shop")
    time.sleep(1.5 * replicas_module.GONE_SECONDS)
    assert not other.claim("write shop"), "who beats keeps it"
    other.release("write shop")  # which it does not have
    assert not other.claim("write shop")
    holder.release("write shop")
    assert other.claim("write shop")
    assert not holder.claim("write shop")
    other.stop()
    assert holder.claim("write shop"), "who leaves lets go at once"


def test_a_replica_that_is_gone_loses_what_it_had_to_one(open_state: Callable[[], State]) -> None:
    gone, *others = (open_state().replicas for _ in range(3))
    assert gone.claim("write shop")
    freeze(gone)
    began = time.monotonic()
    assert not any(one.claim("write shop") for one in others)
    assert claimed(others[0], "write shop")
    assert time.monotonic() - began >= replicas_module.GONE_SECONDS
    assert not others[1].claim("write shop")
    former = gone.id
    assert not gone.holds("write shop"), "it looks before it believes after a pause"
    assert gone.id != former
    assert gone.claim("something else")


def test_a_replica_that_paused_shortly_keeps_what_it_had(open_state: Callable[[], State]) -> None:
    one, other = open_state().replicas, open_state().replicas
    assert one.claim("write shop")
    other.start()
    freeze(one)
    time.sleep(1.2 * replicas_module._TRUSTED_SECONDS)
    assert one.holds("write shop")
    assert not other.claim("write shop")
