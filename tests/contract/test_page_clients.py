"""Commands of the pages whose servers are not here: their clients are, or what they do can be done on ours."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.stack.processes import LOCALHOST, ROOT, free_port
from tests.support.deployments import copied
from tests.support.pages import CONFLUENT, FLINK_CONF, blocks, command, replaced

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.stack.qdrant import Qdrant

# What kubectl and docker say when they have read their options and files, and look for their servers.
NO_SERVER = re.compile(r"connection refused|was refused|Cannot connect to the Docker daemon")
# A registry is written in small letters.
TABLE = {"REGISTRY/": "registry.invalid/"}
SETUP = "An application cluster"


def lines() -> list[str]:
    """Return the commands of kubectl and docker, each with the variable of its block that it takes."""
    found = []
    for block in [*blocks(FLINK_CONF), *blocks(CONFLUENT)]:
        variables = [line for line in block.commands() if re.match(r"[a-z]+=", line)]
        clients = [line for line in block.commands() if re.match(r"kubectl |docker |\$change ", line)]
        found += ["\n".join([*(variables if line[0] == "$" else []), line]) for line in clients]
    return found


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Variables that lead kubectl and docker to a port where nobody listens."""
    server = f"{LOCALHOST}:{free_port()}"
    cluster = {"name": "none", "cluster": {"server": f"http://{server}"}}
    context = {"name": "none", "context": {"cluster": "none"}}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context]}
    (tmp_path / "config").write_text(json.dumps({**config, "current-context": "none"}))
    own = {"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "config"), "DOCKER_HOST": f"tcp://{server}"}
    return {**os.environ, **own, "NO_PROXY": LOCALHOST}


@pytest.mark.parametrize("line", lines())
def test_clients_take_the_options(line: str, nowhere: dict[str, str], tmp_path: Path) -> None:
    """They find fault with nothing but the server that is missing."""
    if not shutil.which("docker" if line.startswith("docker") else "kubectl"):
        pytest.skip("the client is not installed")
    (tmp_path / "flink-conf").symlink_to(ROOT / "flink-conf")
    for name in re.findall(r"--from-file=(\S+)", line):
        (tmp_path / name).write_text("secret")
    text = replaced(line, TABLE)
    ended = subprocess.run(
        ["bash", "-ec", text], cwd=tmp_path, env=nowhere, capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode != 0
    assert NO_SERVER.search(ended.stderr), ended.stderr


def test_first_message(qdrant: Qdrant, tmp_path: Path) -> None:
    """The collection can be made so, and the job would write the message into it."""
    curl = replaced(command(FLINK_CONF, SETUP, "curl"), {"http://localhost:6333": qdrant.rest_url})
    made = subprocess.run(["bash", "-ec", f"{curl} --silent --noproxy '*'"], capture_output=True, text=True, check=True)
    assert json.loads(made.stdout)["status"] == "ok"
    echo = command(FLINK_CONF, SETUP, "echo").partition(" | ")[0]
    judge = shlex.join([str(ROOT / "scripts" / "validate"), f"--qdrant.grpc.url={qdrant.grpc_url}"])
    try:
        said = subprocess.run(
            ["bash", "-ec", f"{echo} | {judge}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert json.loads(said.stdout)["outcome"] == "upsert", said
    finally:
        with closing(qdrant.client()) as client:
            client.delete_collection("docs")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [FLINK_CONF, CONFLUENT])
def test_maven_fetches_what_the_image_copies(page: str, tmp_path: Path) -> None:
    """Every jar that the Dockerfile copies is among those that the page's line fetches."""
    shutil.copy(ROOT / "pom.xml", tmp_path)
    mvn = command(page, SETUP if page == FLINK_CONF else "Step by step", "mvn")
    subprocess.run(["bash", "-ec", mvn], cwd=tmp_path, capture_output=True, check=True)
    jars = [source for source in copied() if source.endswith(".jar")]
    assert len(jars) > 1
    assert [jar for jar in jars if not (tmp_path / jar).exists()] == []
