"""What one replica of the service may do at a time: apply an index's writes, make its topic pages."""

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
        self._replicas, self._name = state.replicas, f"{work} {index}"

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

    def release(self) -> None:
        """Let another replica have it."""
        self._replicas.release(self._name)
