"""The files that deploy the job follow the schemas that compose and the Kubernetes operator publish."""

from __future__ import annotations

import copy
import json
import shlex
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from scripts.stack.processes import ROOT
from tests.support.deployments import COMPOSE, CONFIG_MAP, CONFLUENT, KUBERNETES
from tests.support.pages import FLINK_CONF, commands

OPERATOR_SCHEMA = ROOT / "target" / "schemas" / "META-INF" / "fabric8" / "flinkdeployments.flink.apache.org-v1.yml"
# The schema is that of 1.10.0, the newest operator in Maven Central. Later ones take all that it takes, and these too.
LATER_VERSIONS = ["v2_0", "v2_1", "v2_2", "v2_3"]


def closed(schema: Any) -> Any:
    """Return the schema with names that it does not know made an error, as `kubectl --validate=strict` has it."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    fresh = {name: closed(part) for name, part in schema.items()}
    if isinstance(fresh.get("properties"), dict) and not fresh.get("x-kubernetes-preserve-unknown-fields"):
        fresh.setdefault("additionalProperties", False)
    return fresh


@pytest.fixture(scope="module")
def operator() -> Draft7Validator:
    """What the Kubernetes operator takes as a deployment's `spec`."""
    if not OPERATOR_SCHEMA.exists():
        pytest.skip("scripts/test fetches the operator's schema")
    definition = yaml.load(OPERATOR_SCHEMA.read_text(), yaml.CSafeLoader)
    [version] = definition["spec"]["versions"]
    spec = closed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    spec["properties"]["flinkVersion"]["enum"] += LATER_VERSIONS
    return Draft7Validator(spec)


@pytest.fixture(scope="module")
def compose() -> Draft202012Validator:
    """The Compose Specification's own schema, as a package for such checks has it."""
    name = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    return Draft202012Validator(json.loads(Path(str(distribution("check-jsonschema").locate_file(name))).read_text()))


def faults(document: object, schema: Draft7Validator | Draft202012Validator) -> list[str]:
    """Return what is wrong with the document, each with its place."""
    return [f"{error.json_path}: {error.message}" for error in schema.iter_errors(document)]


def edited(document: Any, place: str, value: object) -> Any:
    """Return a copy of the document with another value at a place such as `job.args`."""
    document = copy.deepcopy(document)
    *way, last = place.split(".")
    node = document
    for name in way:
        node = node[name]
    node[last] = value
    return document


def merged(document: Any, change: Any) -> Any:
    """Return what `kubectl patch --type merge` makes of the document (RFC 7396, without removals)."""
    if not isinstance(document, dict) or not isinstance(change, dict):
        return change
    return document | {name: merged(document.get(name), value) for name, value in change.items()}


def test_compose_file_follows_its_schema(compose: Draft202012Validator) -> None:
    """Docker Compose takes the file."""
    assert faults(COMPOSE, compose) == []


@pytest.mark.parametrize("document", [KUBERNETES, CONFLUENT], ids=["Kubernetes", "Confluent"])
def test_specifications_follow_the_operator_s_schema(document: Any, operator: Draft7Validator) -> None:
    """The operator takes the specification and every name in it; so does Confluent's, which is built on it."""
    assert faults(document["spec"], operator) == []


@pytest.mark.parametrize("line", [line for line in commands(FLINK_CONF, "Kubernetes") if line.startswith("$change")])
def test_the_operator_takes_the_changes_that_the_page_shows(line: str, operator: Draft7Validator) -> None:
    """Each changes the deployment, and leaves one that follows the schema."""
    changed = merged(KUBERNETES, json.loads(shlex.split(line)[1]))
    assert faults(changed["spec"], operator) == []
    assert changed != KUBERNETES or '"state": "running"' in line  # which only undoes the one before it


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param("job.jarUri", "local:///x", id="misspelt name"),
        pytest.param("podTemplate.spec.containers", [{"name": "x", "volumeMount": []}], id="misspelt name in a pod"),
        pytest.param("job.upgradeMode", "save-point", id="unknown mode"),
        pytest.param("job.parallelism", "2", id="text for a number"),
        pytest.param("flinkConfiguration.parallelism", 2, id="number for a text"),
        pytest.param("flinkVersion", "v9_9", id="unknown version"),
    ],
)
def test_a_wrong_specification_is_noticed(place: str, value: object, operator: Draft7Validator) -> None:
    """The schema is strict enough to be worth the check."""
    assert len(faults(edited(KUBERNETES["spec"], place, value), operator)) == 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param("services.kafka.port", [], id="misspelt name"),
        pytest.param("services.qdrant.healthcheck.test", 7, id="number for a command"),
        pytest.param("configs.job", [], id="list for an object"),
    ],
)
def test_a_wrong_compose_file_is_noticed(place: str, value: object, compose: Draft202012Validator) -> None:
    """The schema is strict enough to be worth the check."""
    assert faults(edited(COMPOSE, place, value), compose)


def test_kinds() -> None:
    """Each document says what it is in the words that its server knows."""
    kinds = [(document["apiVersion"], document["kind"]) for document in (CONFIG_MAP, KUBERNETES, CONFLUENT)]
    assert kinds == [
        ("v1", "ConfigMap"),
        ("flink.apache.org/v1beta1", "FlinkDeployment"),
        ("cmf.confluent.io/v1", "FlinkApplication"),
    ]
