"""What the preflight says of a real Qdrant: a sentence for each way to be unable to write to it, or nothing."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from qdrant_client import models

from job.arguments import load_settings
from job.qdrant_check import check_qdrant
from scripts.stack.processes import LOCALHOST, free_port
from scripts.stack.qdrant import Qdrant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from job.settings import Settings
    from tests.support.secured import TlsQdrant


def _settings(*, url: str, more: tuple[str, ...] = ()) -> Settings:
    return load_settings(["--topics=docs", "--properties.bootstrap.servers=x:1", "--qdrant.grpc.url", url, *more])


@pytest.fixture(scope="module")
def qdrant() -> Iterator[Qdrant]:
    """A server that wants the key `right`, with a collection `docs` and an alias `alias`."""
    with Qdrant(api_key="right") as server:
        client = server.client()
        client.create_collection("docs", vectors_config={})
        client.close()
        yield server


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The right key, in a variable."""
    monkeypatch.setenv("PREFLIGHT_KEY", "right")
    return ("--qdrant.api.key=env:PREFLIGHT_KEY",)


def test_a_reachable_qdrant_has_no_faults(qdrant: Qdrant, key: tuple[str, ...], tmp_path: Path) -> None:
    """With the right address and key, from a variable or a file, there is nothing to say."""
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=key)) == []
    (tmp_path / "key").write_text("right\n")
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=(f"--qdrant.api.key=file:{tmp_path}/key",))) == []


@pytest.mark.parametrize("more", [(), ("--qdrant.api.key=env:PREFLIGHT_KEY",)], ids=["no-key", "with-key"])
def test_the_rest_port_is_recognised(qdrant: Qdrant, key: tuple[str, ...], more: tuple[str, ...]) -> None:
    """Who gives the REST port, with or without a key, is told of the gRPC port."""
    assert key
    (fault,) = check_qdrant(_settings(url=qdrant.rest_url, more=more))
    assert fault == (
        f"{qdrant.rest_url} is Qdrant's REST port: qdrant.grpc.url needs the gRPC port, which usually is"
        f" http://{LOCALHOST}:6334."
    )


def test_a_missing_key_is_asked_for(qdrant: Qdrant) -> None:
    """A server that wants a key is no server to start with without one."""
    assert check_qdrant(_settings(url=qdrant.grpc_url)) == [
        f"Qdrant at {qdrant.grpc_url} wants an API key: set qdrant.api.key to `env:NAME` or `file:/absolute/path`."
    ]


def test_a_wrong_key_is_said_without_showing_it(qdrant: Qdrant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused key is named by its place only."""
    monkeypatch.setenv("PREFLIGHT_KEY", "hidden")
    (fault,) = check_qdrant(_settings(url=qdrant.grpc_url, more=("--qdrant.api.key=env:PREFLIGHT_KEY",)))
    assert fault.startswith(f"Qdrant at {qdrant.grpc_url} does not accept the API key that is at env:PREFLIGHT_KEY: ")
    assert "hidden" not in fault


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hid\nden", id="two lines"),
        pytest.param("hidden".encode("utf-16"), id="UTF-16"),
    ],
)
def test_an_unusable_key_is_said_without_showing_it(qdrant: Qdrant, tmp_path: Path, text: bytes) -> None:
    """An empty file, or one with more than a key, is no key; gRPC's own error would show it."""
    (tmp_path / "key").write_bytes(text)
    (fault,) = check_qdrant(_settings(url=qdrant.grpc_url, more=(f"--qdrant.api.key=file:{tmp_path}/key",)))
    assert "where there is no key, or one that cannot be sent" in fault
    assert "hid" not in fault


@pytest.mark.parametrize("source", ["env:PREFLIGHT_NO_KEY", "file:/preflight/no/key"])
def test_a_key_that_only_the_workers_have_is_a_fault(qdrant: Qdrant, source: str) -> None:
    """Without the key this check can show nothing, so it says that the key is needed here, too."""
    (fault,) = check_qdrant(_settings(url=qdrant.grpc_url, more=(f"--qdrant.api.key={source}",)))
    assert source.partition(":")[2] in fault
    assert fault.endswith("This check needs it where the job is started, too, not on the workers only.")


def test_nobody_listening_is_said() -> None:
    """An address where nothing answers is said, with the address."""
    url = f"http://{LOCALHOST}:{free_port()}"
    assert check_qdrant(_settings(url=url)) == [
        f"Nothing answers at {url}: check qdrant.grpc.url, and that Qdrant is running."
    ]


class Other(BaseHTTPRequestHandler):
    """A web server with a title that is not Qdrant's."""

    def do_GET(self) -> None:
        """Answer as Qdrant's REST port does, but for the title."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"title": "another server"}')


def test_another_server_is_said_in_grpcs_words() -> None:
    """A web server that is no Qdrant is not taken for one's REST port."""
    with HTTPServer((LOCALHOST, 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{LOCALHOST}:{server.server_port}"
        (fault,) = check_qdrant(_settings(url=url))
        server.shutdown()
    assert fault.startswith(f"Qdrant at {url} does not answer: UNAVAILABLE, ")


def test_https_to_a_port_without_tls_is_recognised(qdrant: Qdrant, key: tuple[str, ...]) -> None:
    """Who asks for TLS in vain is told to write http."""
    url = qdrant.grpc_url.replace("http", "https")
    assert check_qdrant(_settings(url=url, more=key)) == [
        f"The port of {url} speaks no TLS: write {qdrant.grpc_url} for qdrant.grpc.url."
    ]


def test_http_to_a_port_with_tls_is_recognised(tls_qdrant: TlsQdrant) -> None:
    """Who leaves out TLS is told to write https."""
    url = tls_qdrant.grpc_url
    assert check_qdrant(_settings(url=url)) == [
        f"The port of {url} speaks TLS: write {url.replace('http', 'https')} for qdrant.grpc.url."
    ]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_rest_port_with_tls_is_recognised(tls_qdrant: TlsQdrant, scheme: str) -> None:
    """Of the two things that are wrong, the answer mends both at once."""
    (fault,) = check_qdrant(_settings(url=tls_qdrant.rest_url.replace("http", scheme)))
    assert fault.endswith(f"needs the gRPC port, which usually is https://{LOCALHOST}:6334.")


def test_the_collection_asked_for_must_exist(qdrant: Qdrant, key: tuple[str, ...]) -> None:
    """A collection for every message must be there, by its name or an alias; its neighbours are named."""
    client = qdrant.client()
    alias = models.CreateAlias(collection_name="docs", alias_name="alias")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    client.close()
    for name in ("docs", "alias"):
        assert check_qdrant(_settings(url=qdrant.grpc_url, more=(*key, f"--qdrant.collection.name={name}"))) == []
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=(*key, "--qdrant.collection.name=dogs"))) == [
        "Qdrant has no collection 'dogs', which qdrant.collection.name asks for: did you mean docs?"
    ]
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=(*key, "--qdrant.collection.name=zzz"))) == [
        "Qdrant has no collection 'zzz', which qdrant.collection.name asks for: there is docs."
    ]
