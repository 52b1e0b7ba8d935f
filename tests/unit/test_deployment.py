"""What deploys the job: its settings are ones that the job takes, and names, addresses and versions agree."""

from __future__ import annotations

import re
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from job.arguments import load_settings
from job.environment import DEFAULTS
from job.options import default_flink_options
from job.settings import FIELDS
from scripts.stack.processes import ROOT
from tests.support.deployments import (
    ARGUMENTS,
    COMMENTED,
    CONFLUENT,
    DOCKERFILE,
    FOLDER,
    KUBERNETES,
    SERVICES,
    SUGGESTED,
    copied,
    flink_options,
    flink_properties,
    in_image,
    instructions,
    settings_of,
)
from tests.support.pythons import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRETS = "/run/secrets/kafka-to-qdrant"
# Not in the image, but mounted.
SETTINGS_FILES = {"/opt/flink/job/job.yaml", "/opt/flink/job/conf/job.yaml"}
# What config.yaml leaves to choose, and whose options these are: Flink does not know them.
TO_CHOOSE = ("taskmanager.", "metrics.")
OF_THE_OPERATOR = ("kubernetes.operator.", "job.autoscaler.")
TEXTS = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix in {"", ".md", ".yaml"})

everywhere = pytest.mark.parametrize("where", ARGUMENTS)
on_kubernetes = pytest.mark.parametrize("document", [KUBERNETES, CONFLUENT], ids=["Kubernetes", "Confluent"])


@pytest.fixture
def jars() -> Path:
    """The folder that the Dockerfile copies jars from."""
    folder = ROOT / "target" / "jars"
    if not folder.exists():
        pytest.skip("scripts/test fetches the jars")
    return folder


@everywhere
def test_the_job_takes_the_settings(where: str, tmp_path: Path) -> None:
    """Every name exists and no value is at fault."""
    assert settings_of(where, tmp_path).topics == ("docs",)


@pytest.mark.parametrize("where", ["Kubernetes", "Confluent"])
def test_secrets_are_named_by_where_they_are_mounted(where: str, tmp_path: Path) -> None:
    """The job is given no key and no password, but the folder that has them."""
    settings = settings_of(where, tmp_path)
    assert settings.qdrant_api_key == f"file:{SECRETS}/qdrant-key"
    assert settings.properties["sasl.jaas.config"] == f"${{secrets:{SECRETS}:kafka-jaas}}"
    assert settings.properties["config.providers"] == "secrets"


@everywhere
def test_arguments(where: str) -> None:
    """Flink is told the job's module and zip, before the job's own settings, and all files named are in the image."""
    assert ARGUMENTS[where][:4] == ["-pym", "job.main", "-pyfs", "/opt/flink/job/job.zip"]
    named = set(re.findall(r"/opt/flink/job/[^\s=]+", " ".join(ARGUMENTS[where])))
    assert named <= in_image() | SETTINGS_FILES


@on_kubernetes
def test_entry_point(document: Any) -> None:
    """PythonDriver runs the job, and the jar that is named is in the image."""
    job = document["spec"]["job"]
    assert job["entryClass"] == "org.apache.flink.client.python.PythonDriver"
    assert job["jarURI"].removeprefix("local://") in in_image()
    assert job["upgradeMode"] == "savepoint"


@on_kubernetes
def test_mounts(document: Any) -> None:
    """Every mount has its volume, and the secrets are where the settings look for them."""
    pod = document["spec"]["podTemplate"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    assert mounts["secrets"] == SECRETS


@everywhere
def test_nothing_that_a_cluster_should_say_is_left_out(where: str) -> None:
    """What config.yaml says holds in every deployment; its folders may be others, and compose has room for one word."""
    given = flink_options(where)
    assert SUGGESTED.keys() <= given.keys()
    suggested = {name: str(value) for name, value in SUGGESTED.items() if not name.endswith("dir")}
    if where == "compose":
        suggested = {name: value.split()[0] for name, value in suggested.items()}
    assert {name: given[name] for name in suggested} == suggested


def test_what_the_job_sets_by_itself_is_listed() -> None:
    """Every option that config.yaml says so of in a comment, and none else, with the job's own value."""
    required = ("--topics=t", "--properties.bootstrap.servers=h:1", "--qdrant.grpc.url=http://h:1")
    own = {**DEFAULTS, **default_flink_options(load_settings(required))}
    assert {name: COMMENTED[name] for name in COMMENTED if not name.startswith(TO_CHOOSE)} == own


def test_what_is_left_to_choose_is_what_the_deployments_chose() -> None:
    """The memory that config.yaml names in comments is that of compose, the reporter that of Kubernetes."""
    chosen = {**flink_options("Kubernetes"), **flink_options("compose")}
    listed = {name for name in COMMENTED if name.startswith(TO_CHOOSE)}
    assert {name.split(".")[0] for name in listed} == {"taskmanager", "metrics"}
    assert {name: COMMENTED[name] for name in listed} == {name: chosen[name] for name in listed}


def test_every_option_exists() -> None:
    """Flink's own classes have each name, that of a reporter's option behind the reporter's name."""
    given = {*SUGGESTED, *COMMENTED}.union(*map(flink_options, ARGUMENTS))
    names = {name.removeprefix("metrics.reporter.prom.") for name in given if not name.startswith(OF_THE_OPERATOR)}
    constants = b"".join(option_classes())
    assert {name for name in names if struct.pack(">H", len(name)) + name.encode() not in constants} == set()


def option_classes() -> Iterator[bytes]:
    """Yield the classes in which Flink, PyFlink and the reporter for Prometheus have the names of their options."""
    flink = PACKAGES / "pyflink"
    is_one = re.compile(
        r"org/apache/flink/(configuration|python)/\w+(Options|OptionsInternal)\.class|.*PrometheusReporterF.*"
    )
    for jar in [
        *flink.glob("lib/flink-dist-*"),
        *flink.glob("opt/flink-python-*"),
        *flink.glob("plugins/*/*prometheus*"),
    ]:
        with zipfile.ZipFile(jar) as archive:
            yield from (archive.read(name) for name in archive.namelist() if is_one.fullmatch(name))


def test_flink_properties_are_read_as_written() -> None:
    """No comments, which the image takes for names, and no spaces in values, which it cuts out."""
    assert [
        line for line in flink_properties().items() if not all(re.fullmatch(r"[^\s#]+", word) for word in line)
    ] == []


def test_kafka_in_compose_is_found_where_it_listens(tmp_path: Path) -> None:
    """By containers and by this machine, each at the address that Kafka tells its clients."""
    kafka = SERVICES["kafka"]
    listening, told = (
        dict(listener.split("://") for listener in kafka["environment"][name].split(","))
        for name in ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS")
    )
    assert settings_of("compose", tmp_path).bootstrap_servers == told["INTERNAL"] == listening["INTERNAL"]
    assert told["INTERNAL"] in kafka["healthcheck"]["test"]
    assert f"--bootstrap-server {told['INTERNAL']}" in SERVICES["topics"]["command"][-1]
    port = told["HOST"].removeprefix("localhost:")
    assert listening["HOST"] == f"0.0.0.0:{port}"
    assert kafka["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_services_in_compose_call_each_other_by_name(tmp_path: Path) -> None:
    """The host names in settings and options are services."""
    settings = settings_of("compose", tmp_path)
    hosts = [settings.bootstrap_servers.partition(":")[0], settings.connection.host]
    assert {*hosts, flink_properties()["jobmanager.rpc.address"]} <= SERVICES.keys()
    assert f"127.0.0.1:{settings.connection.port}:{settings.connection.port}" in SERVICES["qdrant"]["ports"]


def test_compose_makes_what_the_job_refuses_to_start_without(tmp_path: Path) -> None:
    """Its topics, and a slot for each of its parallel parts."""
    settings = settings_of("compose", tmp_path)
    made = re.findall(r"for topic in (.*); do", SERVICES["topics"]["command"][-1])
    assert made == [" ".join([*settings.topics, settings.errors_deadletterqueue_topic_name or ""])]
    assert settings.parallelism == int(flink_properties()["taskmanager.numberOfTaskSlots"])


def test_what_the_dockerfile_copies_is_there(jars: Path) -> None:
    """The lock is in the repository, and its scripts fetch and make the rest."""
    variables = dict(words[0].split("=") for words in instructions("ARG"))
    sources = {re.sub(r"\$\{(\w+)}", lambda name: variables[name[1]], source) for source in copied()}
    missing = {source for source in sources if not (ROOT / source).exists()}
    assert jars.relative_to(ROOT).as_posix() in {source.rpartition("/")[0] for source in sources}
    assert missing <= {"dist/job.zip"}  # scripts/package makes it


def test_the_image_is_not_run_as_root() -> None:
    """Flink's own user is the last that is named."""
    assert [*instructions("USER")][-1] == ["flink"]


def test_versions_of_the_image() -> None:
    """Flink, uv and the connector are those that the project is tested with."""
    assert f"FLINK_IMAGE=flink:{version_of('apache-flink', 'requirements.lock')}-scala_2.12-java17\n" in DOCKERFILE
    assert f"astral-sh/uv:{version_of('uv', 'requirements-dev.lock')} " in DOCKERFILE
    [connector] = [path for path in in_image() if "connector" in path]
    version = connector.partition("flink-sql-connector-kafka-")[2].removesuffix(".jar")
    assert f"<version>{version}</version>" in (ROOT / "pom.xml").read_text()


def test_versions_in_compose() -> None:
    """Kafka and Qdrant are those that the project is tested with."""
    images = {name: service["image"] for name, service in SERVICES.items()}
    kafka = images["kafka"].removeprefix("apache/kafka:")
    assert f"<kafka.version>{kafka}</kafka.version>" in (ROOT / "pom.xml").read_text()
    assert images["topics"] == images["kafka"]
    qdrant = images["qdrant"].removeprefix("qdrant/qdrant:v")
    assert f'/qdrant-linux-x64@{qdrant}"' in (ROOT / "scripts" / "setup.sh").read_text()
    assert images["jobmanager"] == images["taskmanager"] == KUBERNETES["spec"]["image"]


def version_of(package: str, lock: str) -> str:
    """Return the version that a lock file names."""
    [version] = re.findall(rf"^{package}==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    return str(version)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_relocated_classes_exist(path: Path, jars: Path) -> None:
    """Every class of Kafka's client that is named is one that Flink's connector has."""
    [connector] = jars.glob("flink-sql-connector-kafka-*.jar")
    names = re.findall(r"org\.apache\.flink\.kafka\.shaded(?:\.[a-z]+)+\.[A-Z]\w+", path.read_text())
    with zipfile.ZipFile(connector) as archive:
        assert {f"{name.replace('.', '/')}.class" for name in names} <= set(archive.namelist())


def test_every_setting_of_the_connector_is_mapped_to_one_that_exists() -> None:
    """All three that are its own are there, and the job has what stands beside each."""
    table = re.findall(r"^\| (.*?) \| (.*?) \| ", (FOLDER / "confluent" / "README.md").read_text(), re.MULTILINE)
    theirs, ours = (re.findall(r"`([^`]+)`", " ".join(column)) for column in zip(*table, strict=True))
    assert {name for name in ours if name not in FIELDS} <= {"properties.*", "properties.sasl.jaas.config"}
    assert {name for name in theirs if "qdrant" in name} == {name for name in ours if re.match(r"qdrant\.", name)}


@pytest.mark.parametrize("path", [path for path in TEXTS if path.suffix == ".md"], ids=lambda path: path.parent.name)
def test_links_lead_to_files(path: Path) -> None:
    """Whatever these pages point to is there."""
    links = re.findall(r"\]\(([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
