"""Numbers of the running service, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of one service, in a registry of its own.

    Attributes:
        replica: which of several services behind one address this is: then a label of every number, since whoever reads
            them there sees now this one and now that.
        requests: by ``route`` (the template of its path), ``method`` and ``status``.
        request_seconds: by ``route``.
        stage_seconds: by ``stage``: encode, recall, joint, page, and wait_encode and wait_joint, the time before them.
        queue_length, batch_size: by ``queue``: encode, recall, joint.
        rejections: by ``reason``: queue_full, rate, too_large, draining, unauthorized, forbidden.
        degraded: answers in the order of recall, by ``reason``: deadline, error.
        abandoned: requests whose client left before they were computed.
        reloads: an index or model changed over to a newer one, by ``index``.
        index_rows, unindexed_rows: images, and those that the approximate index does not know, by ``index``.
        index_version: 1 for the ``version`` that is searched, by ``index``.
        event_failures: batches of searches that could not be written to the database, and are tried again.
        lost_queries: searches that are not in the database, since it was away for too long.
        writes: products written, by ``index`` and ``result``: added, replaced, updated, removed, skipped.
        topic_pages: looks at a topic's page, by ``index`` and ``result``: written, same, untouched, failed.
        events: what shoppers did, by ``kind`` and ``result``: accepted, rejected, unknown_query.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.replica: str | None = None
        self.requests = Counter(
            "interbert_requests", "Requests answered", ["route", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "interbert_request_seconds", "Seconds to answer", ["route"], registry=registry, buckets=_SECONDS
        )
        self.stage_seconds = Histogram(
            "interbert_stage_seconds", "Seconds of a stage", ["stage"], registry=registry, buckets=_SECONDS
        )
        self.queue_length = Gauge("interbert_queue_length", "Requests that wait", ["queue"], registry=registry)
        self.batch_size = Histogram(
            "interbert_batch_size",
            "Requests of a batch",
            ["queue"],
            registry=registry,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
        )
        self.rejections = Counter("interbert_rejections", "Requests refused", ["reason"], registry=registry)
        self.degraded = Counter("interbert_degraded", "Answers in recall's order", ["reason"], registry=registry)
        self.abandoned = Counter("interbert_abandoned", "Requests dropped: their client left", registry=registry)
        self.reloads = Counter("interbert_reloads", "Changes to a newer index or model", ["index"], registry=registry)
        self.index_rows = Gauge("interbert_index_rows", "Images of an index", ["index"], registry=registry)
        self.unindexed_rows = Gauge(
            "interbert_unindexed_rows", "Images outside the approximate index", ["index"], registry=registry
        )
        self.index_version = Gauge(
            "interbert_index_version", "1 for the version that is searched", ["index", "version"], registry=registry
        )
        self.event_failures = Counter("interbert_event_failures", "Failed writes of searches", registry=registry)
        self.lost_queries = Counter("interbert_lost_queries", "Searches that were not recorded", registry=registry)
        self.writes = Counter("interbert_writes", "Images written", ["index", "result"], registry=registry)
        self.topic_pages = Counter(
            "interbert_topic_pages", "Looks at topic pages", ["index", "result"], registry=registry
        )
        self.events = Counter("interbert_events", "Events of shoppers", ["kind", "result"], registry=registry)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        if self.replica is None:
            return generate_latest(self.registry)
        labelled = CollectorRegistry()
        labelled.register(_OfReplica(self.registry, self.replica))
        return generate_latest(labelled)


class _OfReplica(Collector):
    """The numbers of a registry with one label more."""

    def __init__(self, registry: CollectorRegistry, replica: str) -> None:
        self._registry, self._replica = registry, replica

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, "replica": self._replica}) for sample in metric.samples
            ]
            yield metric
