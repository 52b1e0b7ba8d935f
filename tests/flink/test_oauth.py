"""Jobs that read a Kafka which wants tokens of an identity provider, as the page for Confluent Cloud has it."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from pyflink.find_flink_home import _find_flink_home
from qdrant_client import models
from trustme import CA

from scripts.stack.flink import FlinkCluster
from scripts.stack.kafka import CONNECTOR
from scripts.stack.package import build
from scripts.stack.processes import LOCALHOST, ROOT, wait_until
from scripts.stack.qdrant import Qdrant
from tests.e2e.letters import create_letters_topic, letters_in
from tests.support.deployments import copied
from tests.support.minicluster import run_job
from tests.support.oauth import AUDIENCE, IdentityProvider, OAuthKafka, Page
from tests.support.secured import trusting
from tests.support.topics import tolerant, write

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.timeout(300)

SECRET = "a-secret-for-nobodys-eyes"  # noqa: S105 - of this test
MESSAGES = 100
TOPIC, LETTERS = "docs", "letters"


@dataclass(frozen=True)
class Scene:
    """The servers, and a job's arguments, but for what Java is started with."""

    provider: IdentityProvider
    kafka: OAuthKafka
    qdrant: Qdrant
    ca_file: Path

    def arguments(self, page: Page) -> list[str]:
        """Return the arguments of a job that reads the topic to its end, by the page's properties."""
        at = {"bootstrap.servers": self.kafka.at["SASL_SSL"]}
        properties = {**at, **trusting(self.ca_file), **page.properties()}
        return [
            f"--topics={TOPIC}",
            *(f"--properties.{name}={value}" for name, value in properties.items()),
            f"--qdrant.grpc.url={self.qdrant.grpc_url}",
            f"--kafka.connector.jar={CONNECTOR}",
            "--parallelism=1",
            "--flink.restart-strategy.type=none",
            *tolerant(LETTERS),
        ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A topic with good messages and a bad one, and a collection for them."""
    folder, authority = tmp_path_factory.mktemp("oauth"), CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    with ExitStack() as stack:
        provider = stack.enter_context(IdentityProvider(SECRET))
        kafka = stack.enter_context(OAuthKafka(authority.issue_cert(LOCALHOST), authority, provider))
        qdrant = stack.enter_context(Qdrant())
        bodies = [{"collection_name": TOPIC, "id": number, "vector": [1, 2]} for number in range(MESSAGES)]
        write(kafka, TOPIC, [*((None, json.dumps(body).encode()) for body in bodies), (None, b"no JSON")], partitions=2)
        create_letters_topic(kafka, LETTERS)
        client = stack.enter_context(closing(qdrant.client()))
        client.create_collection(TOPIC, models.VectorParams(size=2, distance=models.Distance.DOT))
        yield Scene(provider, kafka, qdrant, folder / "ca.pem")


def make_lib(folder: Path, without: str = "no jar") -> Path:
    """Link into a new folder what the page wants in Flink's `lib` folder, but for the jars whose names begin so."""
    folder.mkdir()
    of_the_image = [ROOT / source for source, target in copied().items() if target == "/opt/flink/lib/"]
    for jar in [*(Path(_find_flink_home()) / "lib").glob("*.jar"), *of_the_image, CONNECTOR]:
        if not jar.name.startswith(without):
            (folder / jar.name).symlink_to(jar)
    return folder


def test_a_job_gets_through(scene: Scene, tmp_path: Path) -> None:
    """In application mode, with the page's settings and Java options; nowhere in logs and web pages is the secret."""
    page = Page(scene.provider, tmp_path)
    (tmp_path / "kafka-jaas").write_text(page.login(SECRET))
    package = build(tmp_path / "job.zip")
    application = ["-pym", "job.main", "-pyfs", str(package), *scene.arguments(page)]
    python_driver = "org.apache.flink.client.python.PythonDriver"
    environment = {"FLINK_LIB_DIR": str(make_lib(tmp_path / "lib"))}
    issued = scene.provider.issued
    with (
        closing(scene.qdrant.client()) as client,
        FlinkCluster(
            slots=1,
            config=page.java_options(),
            env=environment,
            application=["--job-classname", python_driver, *application],
        ) as cluster,
    ):
        wait_until(lambda: bool(client.count(TOPIC).count == MESSAGES), "all points", 120, every=0.5)
        wait_until(lambda: bool(letters_in(scene.kafka, LETTERS)), "the dead letter", 60, every=0.5)
        logs = "".join(log.read_text(errors="replace") for log in cluster.log_dir.iterdir())
    assert [letter.code for letter in letters_in(scene.kafka, LETTERS)] == ["json-unreadable"]
    # Those of the check before the start, the enumerator, the reader and the dead letters' producer are clients apart.
    assert scene.provider.issued >= issued + 4
    assert SECRET not in logs


class Refusal(NamedTuple):
    """What is wrong, and what is said of it.

    Attributes:
        said: A part of it.
        secret: What the client shows to the provider.
        audience: For whom the provider's tokens are.
        has_option: Whether Java is started with the page's option.
        without: What Flink's `lib` folder lacks, by the beginning of the jar's name.
    """

    said: str
    secret: str = SECRET
    audience: str = AUDIENCE
    has_option: bool = True
    without: str = "no jar"


REFUSALS = {
    "wrong secret": Refusal("The client secret is wrong", secret="nobodys-secret"),  # noqa: S106 - of this test
    "token for another": Refusal("The broker takes no such token: look at issuer, audience", audience="another"),
    "URL not allowed": Refusal("The URL cannot be accessed due to restrictions", has_option=False),
    "no jose4j": Refusal("in Flink's lib folder: SASL/OAUTHBEARER needs jose4j, jackson-annotations", without="jose4j"),
    "no jackson": Refusal("in Flink's lib folder: SASL/OAUTHBEARER needs jose4j, jackson-ann", without="jackson-core"),
    "no connector": Refusal("put flink-sql-connector-kafka's jar into Flink's lib folder", without="flink-sql-con"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_is_wrong_is_said_before_the_start(
    scene: Scene, tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence, without the secret."""
    page = Page(scene.provider, tmp_path)
    (tmp_path / "kafka-jaas").write_text(page.login(refusal.secret))
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(scene.provider, "audience", refusal.audience)
    option = page.java_options()["env.java.opts.jobmanager"] if refusal.has_option else ""
    environment = {
        "JVM_ARGS": option,
        "FLINK_LIB_DIR": str(make_lib(tmp_path / "lib", refusal.without)),
    }
    ended = run_job(*scene.arguments(page), folder=tmp_path / "run", env=environment)
    assert ended.code == 2
    assert refusal.said in ended.stderr
    assert refusal.secret not in ended.stderr + ended.flink_log
