"""The image's steps carried out in a folder, and the job run from it by what each deployment gives Flink."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from trustme import CA

from scripts.stack.processes import LOCALHOST, StackError, wait_until
from scripts.stack.qdrant import Qdrant
from scripts.stack.workload import Message, compare, create_collections, generate, produce
from tests.e2e.letters import letters_in
from tests.e2e.topic import PARTITIONS
from tests.support.deployments import ARGUMENTS, CONFLUENT, FILES, FOLDER, KUBERNETES, flink_options, in_image
from tests.support.image import INSTEAD, Image, ImageCluster
from tests.support.secured import SecuredKafka, TlsQdrant, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qdrant_client import QdrantClient

    from scripts.stack.workload import Workload

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="what the image is for"),
]

API_KEY = "a key of the test"
SECRETS = "/run/secrets/kafka-to-qdrant/"
CONFLUENT_PAGE = (FOLDER / "confluent" / "README.md").read_text()
# What `docker build` is given beside the Dockerfile.
BUILD_ARGUMENTS = {"Confluent": dict(re.findall(r"--build-arg (\w+)=(\S+)", CONFLUENT_PAGE))}
# What a standalone cluster is told that the operator tells Flink in its own ways.
ENTRY = {
    name: ["--job-classname", document["spec"]["job"]["entryClass"]]
    for name, document in {"Kubernetes": KUBERNETES, "Confluent": CONFLUENT}.items()
}
# Those of a deployment's options that do not hold here: they want Kubernetes, or a port on all interfaces.
NOT_HERE = ("high-availability.", "kubernetes.", "job.autoscaler.", "metrics.reporter.", "jobmanager.rpc.")


@pytest.fixture(scope="module", params=ARGUMENTS)
def where(request: pytest.FixtureRequest) -> str:
    """The deployment."""
    return str(request.param)


@pytest.fixture(scope="module")
def image(where: str) -> Iterator[Image]:
    """The image of the deployment, without any settings."""
    if where == "Confluent" and sys.version_info < (3, 11):
        pytest.skip("its lock is for Python 3.11 and newer, as the image has it")
    root = Path(tempfile.mkdtemp(prefix="image-"))  # 800 MB, which pytest would keep
    try:
        image = Image(root, BUILD_ARGUMENTS.get(where, {}))
        image.build()
        yield image
    finally:
        shutil.rmtree(root)


@dataclass(frozen=True)
class Servers:
    """Kafka and Qdrant as the deployment's settings want them, with certificates of an authority of the test.

    Attributes:
        client: Reads what is in Qdrant.
        ca_file: Who trusts these servers; None if they speak without TLS.
    """

    kafka: SecuredKafka
    qdrant: Qdrant
    client: QdrantClient
    ca_file: Path | None

    def addressed(self, text: str) -> str:
        """Return the text with the addresses of these servers in place of the deployment's."""
        secured = isinstance(self.qdrant, TlsQdrant)
        kafka = self.kafka.at["SASL_SSL"] if secured else self.kafka.bootstrap
        url = self.qdrant.https_url if isinstance(self.qdrant, TlsQdrant) else self.qdrant.grpc_url
        text = re.sub(r"\bkafka:\d+|BOOTSTRAP\.confluent\.cloud:\d+", kafka, text)
        return re.sub(r"https?://qdrant:6334", url, text, flags=re.IGNORECASE)

    def trust(self) -> list[str]:
        """Return the settings by which the job trusts these servers, whose authority Java does not know."""
        if not self.ca_file:
            return []
        kafka = [f"--properties.{name}={value}" for name, value in trusting(self.ca_file).items()]
        return [*kafka, f"--qdrant.tls.ca.file={self.ca_file}"]


@pytest.fixture
def servers(where: str, tmp_path: Path) -> Iterator[Servers]:
    """Those of compose speak without TLS, the others want it, a password and a key."""
    authority, ca_file = CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    with ExitStack() as stack:
        kafka = stack.enter_context(SecuredKafka(authority.issue_cert(LOCALHOST), authority))
        if where == "compose":
            qdrant = stack.enter_context(Qdrant())
            client, trusted = qdrant.client(), None
        else:
            qdrant = stack.enter_context(TlsQdrant(tmp_path, authority.issue_cert(LOCALHOST), API_KEY))
            client, trusted = qdrant.trusting_client(ca_file), ca_file
        yield Servers(kafka, qdrant, stack.enter_context(closing(client)), trusted)


def jaas(where: str) -> str:
    """Return the line of `kafka-jaas` as the pages for the deployment show it, with the test's user."""
    [line] = re.findall(r"^ +(\S+PlainLoginModule required .*;)", CONFLUENT_PAGE, re.MULTILINE)
    if where == "Kubernetes":
        manifest = (FOLDER / "kubernetes" / "flinkdeployment.yaml").read_text()
        [module] = re.findall(r"^# (\S+ScramLoginModule)\.", manifest, re.MULTILINE)
        line = line.replace(line.partition(" ")[0], module)
    return str(line).replace('"KEY"', '"me"').replace('"SECRET"', '"right"')


def mount(image: Image, where: str, servers: Servers) -> None:
    """Put into the image what the deployment mounts: the file of settings, and secrets."""
    files = {f"{SECRETS}qdrant-key": API_KEY, f"{SECRETS}kafka-jaas": jaas(where)}
    if where in FILES:
        files[ARGUMENTS[where][-1]] = servers.addressed(image.inside(FILES[where]))
    for path, text in files.items():
        image.path(path).parent.mkdir(parents=True, exist_ok=True)
        image.path(path).write_text(text)


def options(image: Image, where: str) -> dict[str, str]:
    """Return what the deployment gives Flink, as far as it can hold here."""
    given = {name: value for name, value in flink_options(where).items() if not name.startswith(NOT_HERE)}
    return {
        name: image.inside(value.replace("s3://BUCKET/", "file:///var/lib/flink/")) for name, value in given.items()
    }


def wait_for_all(client: QdrantClient, workload: Workload, cluster: ImageCluster) -> None:
    """Return once all that the messages leave is in Qdrant; raise StackError, with the logs, if the job ends."""

    def are_there() -> bool:
        cluster.check()
        return not compare(client, workload.points)

    try:
        wait_until(are_there, "all points", 240, every=0.5)
    except StackError as error:
        raise StackError(f"{error}\n{cluster.warnings()}") from None


def libraries_of(pid: int) -> set[Path]:
    """Return the compiled parts of Python packages that a process has loaded."""
    return {Path(path) for path in re.findall(r"/\S*/site-packages/\S+\.so\b", Path(f"/proc/{pid}/maps").read_text())}


def test_the_image_has_what_the_deployments_name(image: Image) -> None:
    """Each file is where it is said to be, the jar has PythonDriver, and the first Python has the job's packages."""
    assert image.instead == set(INSTEAD)
    assert [path for path in in_image() if not image.path(path).is_file()] == []
    with zipfile.ZipFile(image.path("/opt/flink/job/flink-python.jar")) as jar:
        assert {f"{entry[-1].replace('.', '/')}.class" for entry in ENTRY.values()} <= {*jar.namelist()}
    code = "import sys, pyflink, qdrant_client, orjson, simdjson, pydantic, yaml, rich; print(sys.prefix)"
    done = subprocess.run(["python", "-c", code], env=image.environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(image.path("/opt/venv"))


def test_the_job_runs_from_the_image(image: Image, where: str, servers: Servers) -> None:
    """By the deployment's own arguments, settings, secrets and options all points arrive, and a bad one is a letter."""
    for topic in ("docs", "docs-dead"):
        servers.kafka.create_topic(topic, PARTITIONS if topic == "docs" else 1)
    create_collections(servers.client)
    workload = generate(200, PARTITIONS)
    produce(servers.kafka.bootstrap, "docs", [*workload.messages, Message(("docs", 0), 0, None, b"no JSON")])
    mount(image, where, servers)
    arguments = [servers.addressed(image.inside(argument)) for argument in ARGUMENTS[where]]
    application = [*ENTRY.get(where, []), *arguments, *servers.trust()]
    with ImageCluster(image, options(image, where), application) as cluster:
        wait_for_all(servers.client, workload, cluster)
        wait_until(lambda: bool(letters_in(servers.kafka, "docs-dead")), "the dead letter", 120, every=0.5)
        loaded = {path for pid in cluster.python_worker_pids() for path in libraries_of(pid)}
        wait_until(lambda: any(image.path("/var/lib/flink/").rglob("chk-*/_metadata")), "a checkpoint", 120)
    assert loaded
    assert [path for path in loaded if not path.is_relative_to(image.path("/opt/venv/"))] == []
    assert [letter.code for letter in letters_in(servers.kafka, "docs-dead")] == ["json-unreadable"]
