"""Every command that the pages show is run or checked by a test, and is well formed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest
from _pytest.mark.expression import Expression

from scripts.stack.processes import ROOT
from tests.e2e.faults import FAULTS
from tests.support.pages import CONFLUENT, FLINK_CONF, PAGES, README, blocks, commands, mentioned, section

CLIENTS = "tests/contract/test_page_clients.py"
FACTS = "tests/unit/test_page_facts.py"
SUBMIT = "tests/e2e/test_submit.py"
DEPLOYED = "tests/e2e/test_pages.py"
SHIPPED = "tests/e2e/test_shipped.py::test_packages_come_with_the_job"
SESSION, APPLICATION = f"{DEPLOYED}::test_session_cluster", f"{DEPLOYED}::test_application_cluster"
ZIP, JARS = f"{SUBMIT}::zipped", f"{CLIENTS}::test_maven_fetches_what_the_image_copies"
COMPOSE, KUBECTL = f"{FACTS}::test_compose", f"{CLIENTS}::test_clients_take_the_options"
MANAGER = f"{FACTS}::test_confluent_s_application"

# Which test runs the commands that start so, or checks what can be checked of them.
CLAIMS = {
    README: {
        "./scripts/demo": "tests/contract/test_setup.py::test_the_scripts_work_in_a_folder_with_a_space",
        ".venv/bin/python -m job.main --topics": f"{SUBMIT}::test_local",
        "./scripts/package": ZIP,
        "flink run -d -pym job.main": f"{SUBMIT}::test_detached",
        "flink run -py job/main.py": f"{SUBMIT}::test_attached",
        "standalone-job.sh start-foreground": f"{SUBMIT}::test_application_mode",
        "taskmanager.sh start-foreground": f"{SUBMIT}::test_application_mode",
        "flink run -pyarch": SHIPPED,
        "flink run -pyreq": SHIPPED,
        "./scripts/validate": "tests/contract/test_validate.py::test_records_are_judged_as_in_the_table",
        "./scripts/test": "tests/unit/test_page_commands.py::test_options_exist",
    },
    FLINK_CONF: {
        "job=": SESSION,
        "flink run -d": SESSION,
        "flink list": SESSION,
        "flink stop": SESSION,
        "standalone-job.sh start-foreground": APPLICATION,
        "taskmanager.sh start-foreground": APPLICATION,
        "./scripts/package": ZIP,
        "mvn": JARS,
        "compose=": COMPOSE,
        "$compose": COMPOSE,
        "SAVEPOINT=": COMPOSE,
        "curl": f"{CLIENTS}::test_first_message",
        "echo": f"{CLIENTS}::test_first_message",
        "kubectl": KUBECTL,
        "change=": KUBECTL,
        "$change": "tests/unit/test_deployment_schemas.py::test_the_operator_takes_the_changes_that_the_page_shows",
    },
    CONFLUENT: {
        "kubectl": KUBECTL,
        "docker": KUBECTL,
        "export CONFLUENT_CMF_URL=": MANAGER,
        "confluent flink": MANAGER,
        "./scripts/package": ZIP,
        "mvn": JARS,
    },
}
# What is in the repository, but for what its scripts make.
FILES = re.compile(r"(?<![\w/:.-])(?:\./)?(?:(?:flink-conf|scripts|job)/[\w./-]+|pom\.xml|requirements[\w.-]*\.lock)")

every_page = pytest.mark.parametrize("page", PAGES)


def claims(page: str, command: str) -> list[str]:
    """Return the starts that claim the command."""
    return [start for start in CLAIMS[page] if command.startswith(start)]


@every_page
def test_every_command_is_claimed(page: str) -> None:
    """A new command without a test is noticed, and so is a claim for one that is gone."""
    shown = commands(page)
    assert [command for command in shown if not claims(page, command)] == []
    assert CLAIMS[page].keys() == {start for command in shown for start in claims(page, command)}


@pytest.mark.parametrize("test", sorted({test for of_page in CLAIMS.values() for test in of_page.values()}))
def test_claims_name_what_exists(test: str) -> None:
    """The test, or the fixture, is in that file."""
    file, _, name = test.partition("::")
    assert f"\ndef {name}(" in (ROOT / file).read_text()


@every_page
def test_bash_reads_them(page: str) -> None:
    """Quotes and lines that go on are as bash wants them."""
    for block in blocks(page):
        read = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert (read.returncode, read.stderr) == (0, ""), block.text


@every_page
def test_files_exist(page: str) -> None:
    """What commands name of the repository is there."""
    named = {name for command in [*commands(page), *mentioned(page)] for name in FILES.findall(command)}
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def options() -> dict[str, set[str]]:
    """Return the options that the pages give to each of the project's own programs."""
    given: dict[str, set[str]] = {}
    for command in [command for page in PAGES for command in [*commands(page), *mentioned(page)]]:
        words = shlex.split(command)
        own = words[0].startswith("./scripts/") or words[:2] == [".venv/bin/python", "-m"]
        if own:
            program = words[2] if words[1:2] == ["-m"] else words[0]
            given.setdefault(program, set()).update(re.findall(r"(?<!\S)\[?(--[\w.-]+)", command))
    return given


def help_of(program: str) -> str:
    """Return what the program says of its options; `scripts/test` says it in its own text."""
    text = (ROOT / program).read_text() if program.startswith("./") else f"-m {program}"
    modules = re.findall(r"(?: ?-m |run_module\(\")([\w.]+)(?: \"\$@\"$|$|\")", text, re.MULTILINE)
    if not modules:
        return text
    command = [sys.executable, "-m", modules[-1], "--help"]
    return text + subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("program", "given"), options().items(), ids=options())
def test_options_exist(program: str, given: set[str]) -> None:
    """Every option is one that the program's help tells of."""
    known = set(re.findall(r"--[\w.-]+", help_of(program)))
    assert given - {"--help"} <= known


def test_options_of_the_demo() -> None:
    """Those that README's prose has of it."""
    given = re.findall(r"`(--[\w-]+)", section(README, "See it work"))
    assert len(given) > 1
    assert set(given) <= set(re.findall(r"--[\w-]+", help_of("./scripts/demo")))


def test_every_fault_of_the_table_can_be_run() -> None:
    """What the last column gives to `-k` chooses one fault, and each row another one."""
    table = (ROOT / README).read_text().partition("--faults -k …` |\n")[2].partition("\n\n")[0]
    given = [shlex.split(row)[0] for row in re.findall(r"\| `([^`]+)` \|$", table, re.MULTILINE)]
    names = [*(f"test_fault[{fault.name}]" for fault in FAULTS), "test_collection_recreated"]
    chosen = [[name for name in names if is_chosen(words, name)] for words in given]
    assert [len(found) for found in chosen] == [1] * len(names)
    assert {found[0] for found in chosen} == set(names)


def is_chosen(words: str, name: str) -> bool:
    """Say whether pytest would run the test of this name by `-k`."""

    def matches(word: str, /, **_: object) -> bool:
        return word.lower() in name.lower()

    return Expression.compile(words).evaluate(matches)
