"""What one replica of the service may do at a time: apply an index's writes, make its topic pages, rebuild it."""

from __future__ import annotations

from interbert.errors import BusyError
from interbert.service.errors import ServiceError
from interbert.service.state import State


class LeaseLostError(BusyError):
    """Another replica may do it now, or nobody knows, as the database is away."""


class Lease:
    """The right to do something with an index, that one replica of a database has at a time.

    Args:
        state: of the replicas.
        work: what is done.
        index: name of the index.
    """

    def __init__(self, state: State, work: str, index: str) -> None:
        self._replicas, self._name, self._index = state.replicas, f"{work} {index}", index

    def claim(self) -> bool:
        """Have it, unless another replica has.

        Raises:
            ServiceError: ``state_unavailable``, ``storage_full``.
        """
        return self._replicas.claim(self._name)

    def require(self) -> None:
        """Check that it is this replica's still, right before what only one may do.

        Raises:
            LeaseLostError: it is not, or cannot be known.
        """
        try:
            held = self._replicas.holds(self._name)
        except ServiceError as error:
            raise LeaseLostError(f"{self._name}: {error.message}") from error
        if not held:
            raise LeaseLostError(f"{self._name}: another replica does it now.")

    def holder(self) -> str | None:
        """Id of the replica that has it; None when none has.

        Raises:
            LeaseLostError: it cannot be known.
        """
        try:
            return self._replicas.holder(self._name)
        except ServiceError as error:
            raise LeaseLostError(f"{self._name}: {error.message}") from error

    def release(self) -> None:
        """Let another replica have it."""
        self._replicas.release(self._name)


def rebuild_lease(state: State, index: str) -> Lease:
    """The right to build an index anew: writes of the other replicas wait meanwhile."""
    return Lease(state, "rebuild", index)


class WriteLease(Lease):
    """The right to apply an index's writes."""

    def __init__(self, state: State, index: str) -> None:
        super().__init__(state, "write", index)
        self._rebuild = rebuild_lease(state, index)

    def require(self) -> None:
        """As :meth:`Lease.require`, and that no other replica rebuilds the index: the new build would lack the write.

        A rebuild of this replica holds the index itself, by a lock of this machine.

        Raises:
            LeaseLostError: as :meth:`Lease.require`.
            BusyError: another replica rebuilds it.
        """
        super().require()
        if self._rebuild.holder() not in (None, self._replicas.id):
            raise BusyError(f"{self._index}: another replica is rebuilding it.")
