"""deploy/: what stands there fits the service; and its install and start commands, in an empty environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from tests import deployed
from tests.deployed import DEPLOY, ROOT, serve_options

from interbert.cli.serving import is_loopback
from interbert.service.app import route_modules
from interbert.service.metrics import Metrics
from interbert.service.settings import Limits

PATHS = {route.path for module in route_modules() for route in module.router.routes}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
STARTS = {
    "Dockerfile": deployed.container_start(),
    "interbert.service": deployed.unit_start(),
    "compose.yaml": ["interbert", *deployed.compose()["services"]["service"]["command"]],
}


@pytest.mark.parametrize("file", STARTS)
def test_the_start_commands_are_ones_of_the_service(file: str) -> None:
    options = serve_options(STARTS[file])
    assert options.port == 8000
    assert is_loopback(options.host) == (file == "interbert.service")  # others listen within a container
    options.limits.check()
    options.queues.check()


def test_the_image_has_what_it_copies_and_nothing_secret() -> None:
    names = [name for name, _ in deployed.instructions()]
    assert "ADD" not in names
    copied = [word for line in deployed.of_kind("COPY") if "--from" not in line for word in line.split()[:-1]]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    (user,) = deployed.of_kind("USER")
    assert any(
        f"useradd --system --uid 10001 --home-dir /data --create-home {user}" in one for one in deployed.of_kind("RUN")
    )
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+( AS \w+)?", one) for one in deployed.of_kind("FROM"))
    (extras,) = [one.partition("=")[2] for one in deployed.of_kind("ARG") if one.startswith("EXTRAS")]
    assert set(extras.split(",")) == {"serve", "postgres"} <= EXTRAS.keys()  # without the networks' weights
    assert deployed.of_kind("EXPOSE") == ["8000"]
    check = deployed.health_check()
    compile(check[2], "check", "exec")
    (path,) = re.findall(r"127\.0\.0\.1:8000(/\w+)", check[2])
    assert path in PATHS


def test_the_unit_waits_for_the_drain_and_is_no_mistake(tmp_path: Path) -> None:
    settings, options = deployed.unit(), serve_options(deployed.unit_start())
    assert float(settings["TimeoutStopSec"][0]) > options.drain_delay + options.drain_seconds
    folder = f"/var/lib/{settings['StateDirectory'][0]}/"
    assert all(path.startswith(folder) for path in (*options.index, options.state))
    for line in deployed.unit_install():
        assert {extra for group in re.findall(r"\[(.+?)\]", line) for extra in group.split(",")} <= EXTRAS.keys()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "interbert.service").read_text()
    text = text.replace("/opt/interbert/bin/interbert serve", f"{shutil.which('true')} serve")
    (tmp_path / "interbert.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "interbert.service")], capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if "interbert" in line]
    assert (done.returncode, said) == (0, [])


def test_the_compose_file_holds_together() -> None:
    services = deployed.compose()["services"]
    text = (DEPLOY / "compose.yaml").read_text()
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "env.example").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", text)) - {"EXTRAS"} == given
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()
    for name, service in services.items():
        if "build" not in service:
            assert re.fullmatch(r"[\w/]+:(?!latest)[\w.-]*\d[\w.-]*", service["image"]), name
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            if how["condition"] == "service_healthy" and other != "service":  # its image has a check
                assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in deployed.compose()["volumes"] or source == "./models" or (DEPLOY / source).exists()
    service, options = services["service"], serve_options(STARTS["compose.yaml"])
    assert service["deploy"]["replicas"] == 2
    assert float(service["stop_grace_period"].removesuffix("s")) > options.drain_delay + options.drain_seconds
    assert set(service["build"]["args"]) <= {one.partition("=")[0] for one in deployed.of_kind("ARG")}
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_proxy_lets_through_what_the_service_reads() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    limits = Limits()
    assert re.findall(r"client_max_body_size (\d+)m", text) == [f"{limits.body_mib:g}", f"{limits.bulk_mib:g}"]
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s", text)
    assert float(seconds) > 60  # ?wait=60
    assert set(re.findall(r"location = (\S+)", text)) <= PATHS
    assert text.count("{") == text.count("}")


def series() -> dict[str, set[str]]:
    """Labels of everything that /metrics may show, by the name it has there."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    return {
        collector._name + ending: {*collector._labelnames, *({"le"} if ending == "_bucket" else ())}
        for collector in Metrics().registry._collector_to_names
        for ending in endings[collector._type]
    }


def test_alerts_are_of_numbers_that_exist() -> None:
    known, source = series(), " ".join(path.read_text() for path in (ROOT / "src/interbert/service").rglob("*.py"))
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) >= 8
    used = set()
    for rule in group["rules"]:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        for name, matchers in re.findall(r"(interbert_\w+)(?:\{(.*?)\})?", rule["expr"]):
            used.add(name)
            assert name in known, rule["alert"]
            for label, value in re.findall(r"(\w+)=~?\"(.*?)\"", matchers):
                assert label in known[name], rule["alert"]
                assert label == "status" or f'"{value}"' in source, rule["alert"]
        for labels in re.findall(r"by \((.*?)\)", rule["expr"]):
            assert set(labels.split(", ")) <= set.union(*known.values()), rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
    assert used >= {"interbert_requests_total", "interbert_rejections_total", "interbert_index_version"}
