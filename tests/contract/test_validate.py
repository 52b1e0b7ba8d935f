"""The dry run as a program: every case of the table, with and without a real Qdrant, and what a terminal does to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from scripts.stack.processes import ROOT
from scripts.stack.qdrant import Qdrant
from tests.cases import CASES, create_collections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from typing_extensions import Self

    from tests.cases import Case

# Whatever it is here: where Python buffers, more has to be done right.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
SCRIPT = ROOT / "scripts" / "validate"
POINT = b'{"collection_name":"docs","id":1}'
BAD = b'{"collection_name":"docs","id":-1}'
KEYS = ["line", "outcome", "collection", "id", "code", "reason"]


def text_of(part: bytes | None) -> str | None:
    """Return a key or value as --records takes it."""
    return None if part is None else part.decode()


def is_text(part: bytes | None) -> bool:
    """Say whether JSON can hold it."""
    try:
        text_of(part)
    except UnicodeDecodeError:
        return False
    return True


AS_RECORDS = [case for case in CASES if is_text(case.key) and is_text(case.value)]
AS_VALUES = [case for case in CASES if case.value is not None and b"\n" not in case.value]


def run(*argv: str, stdin: bytes = b"", folder: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end."""
    return _run([str(SCRIPT), *argv], stdin, folder)


def shell(command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command of bash, in which `$0` is the program."""
    return _run(["bash", "-c", command, str(SCRIPT)], stdin, ROOT)


def _run(command: list[str], stdin: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, input=stdin, cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=50, check=False
    )


def results_of(ended: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """Return what it said of each line."""
    return [json.loads(line) for line in ended.stdout.split(b"\n")[:-1]]


def expected(number: int, case: Case, speakers: Sequence[str]) -> list[object]:
    """Return all of a result but the reason, as the table has it."""
    code = case.code_said_by(*speakers)
    if code is not None or case.point is None:
        return [number, "invalid", None, None, code]
    return [number, "upsert" if case.value is not None else "delete", *case.point, None]


def assert_as_in_the_table(
    ended: subprocess.CompletedProcess[bytes], cases: Sequence[Case], speakers: Sequence[str]
) -> None:
    """Assert that the program said of every case what these speakers say, with a reason, and counted it."""
    results = results_of(ended)
    assert len(results) == len(cases)
    for number, (case, result) in enumerate(zip(cases, results, strict=True), 1):
        *said, reason = result.values()
        assert list(result) == KEYS
        assert said == expected(number, case, speakers), case.id
        assert bool(reason) == (said[1] == "invalid"), case.id
    heading, *rows = ended.stderr.decode().splitlines()
    counts = Counter(result["code"] or result["outcome"] for result in results)
    invalid = counts.total() - counts["upsert"] - counts["delete"]
    assert heading == f"lines {len(cases)}: upsert {counts['upsert']}, delete {counts['delete']}, invalid {invalid}"
    assert {row.split()[1]: int(row.split()[0]) for row in rows} == {
        code: count for code, count in counts.items() if code not in ("upsert", "delete")
    }
    assert ended.returncode == 1


def records(cases: Sequence[Case]) -> bytes:
    """Return the cases as --records takes them."""
    pairs = ({"key": text_of(case.key), "value": text_of(case.value)} for case in cases)
    return b"".join(json.dumps(pair).encode() + b"\n" for pair in pairs)


def test_every_case_can_be_given() -> None:
    """All of the table goes through one of the two forms, but for a tombstone whose key is no text."""
    given = {case.id for case in AS_RECORDS + AS_VALUES}
    assert {case.id for case in CASES} - given == {"tombstone, key not UTF-8"}


def test_records_are_judged_as_in_the_table() -> None:
    """Without a Qdrant, what parsing refuses is invalid, and all else passes: 20 MB and 10,000 levels among them."""
    assert_as_in_the_table(run("--records", stdin=records(AS_RECORDS)), AS_RECORDS, ["parse"])


def test_values_are_judged_as_in_the_table(tmp_path: Path) -> None:
    """A line of any bytes is a value as it stands."""
    file = tmp_path / "values.jsonl"
    file.write_bytes(b"\n".join(case.value or b"" for case in AS_VALUES))
    assert_as_in_the_table(run(str(file)), AS_VALUES, ["parse"])


@pytest.fixture(scope="module")
def url(qdrant: Qdrant) -> str:
    """The URL of a Qdrant that has the collections of the table."""
    with closing(qdrant.client()) as client:
        create_collections(client)
    return qdrant.grpc_url


def test_with_a_qdrant_its_collections_judge_too(url: str) -> None:
    """What the collection refuses in the job is invalid, with the same code; only what Qdrant alone knows passes."""
    ended = run("--qdrant.grpc.url", url, "--records", stdin=records(AS_RECORDS))
    assert_as_in_the_table(ended, AS_RECORDS, ["parse", "collection"])


def test_nothing_is_written(qdrant: Qdrant, url: str) -> None:
    """A dry run leaves no point."""
    run("--qdrant.grpc.url", url, "--records", stdin=records(AS_RECORDS))
    with closing(qdrant.client()) as client:
        names = [collection.name for collection in client.get_collections().collections]
        assert sum(client.count(name).count for name in names if name.startswith("cases-")) == 0


def test_the_file_of_a_job_may_name_the_qdrant(url: str, tmp_path: Path) -> None:
    """Its URL counts there as on the command line, and so does its collection, which must exist."""
    (tmp_path / "job.yaml").write_text(f"topics: docs\nqdrant.grpc.url: {url}\n")
    ended = run("--config", "job.yaml", stdin=POINT, folder=tmp_path)
    assert [result["code"] for result in results_of(ended)] == ["collection-unknown"]
    assert (
        run("--config", "job.yaml", "--qdrant.collection.name=cases-dense", stdin=POINT, folder=tmp_path).returncode
        == 0
    )
    ended = run("--config", "job.yaml", "--qdrant.collection.name=cases-dens", stdin=POINT, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"Qdrant has no collection 'cases-dens', which qdrant.collection.name asks for: did you" in ended.stderr


def test_it_works_from_any_folder(tmp_path: Path) -> None:
    """Files are those of the user's folder, which may have spaces in its name and modules named as ours in it."""
    folder = tmp_path / "my messages"
    folder.mkdir()
    (folder / "to day.jsonl").write_bytes(BAD)
    (folder / "my job.yaml").write_text("qdrant.collection.name: other\n")
    for module in ("job", "udfs", "asyncio"):
        (folder / f"{module}.py").write_text("raise SystemExit(5)\n")
    ended = run("--config", "my job.yaml", "to day.jsonl", folder=folder)
    assert [result["code"] for result in results_of(ended)] == ["id-negative"]
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 2)


def test_flink_is_not_loaded() -> None:
    """A dry run starts without PyFlink, and so without a JVM."""
    code = "import sys, job.validate; print([name for name in sys.modules if name.startswith(('pyflink', 'py4j'))])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert ended.stdout == b"[]\n"


@pytest.mark.parametrize("argv", [[], ["-"]], ids=["no file", "dash"])
def test_stdin_is_read(argv: list[str]) -> None:
    """Standard input is the FILE unless another is given; good messages end with 0."""
    ended = run(*argv, stdin=POINT + b"\n" + POINT)
    assert [result["outcome"] for result in results_of(ended)] == ["upsert", "upsert"]
    assert (ended.returncode, ended.stderr) == (0, b"lines 2: upsert 2, delete 0, invalid 0\n")


def test_there_may_be_no_stdin() -> None:
    """Where standard input is closed, that is said."""
    ended = shell('"$0" <&-')
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == b"Nothing was validated:\n  - There is no standard input: give a FILE.\n"


def test_a_full_disk_is_a_sentence() -> None:
    """Results that cannot be written end the dry run, and are not taken for an invalid message."""
    ended = shell('"$0" >/dev/full', POINT)
    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines()[1:] == [
        "The dry run ended before its time: [Errno 28] No space left on device"
    ]


def test_a_broken_pipe_ends_it_quietly() -> None:
    """Whoever reads the results may leave, as `head` does."""
    ended = shell(f"""yes '{POINT.decode()}' | "$0" | head -n 1; exit ${{PIPESTATUS[1]}}""")
    assert [result["outcome"] for result in results_of(ended)] == ["upsert"]
    assert (ended.returncode, ended.stderr) == (141, b"")


class Dialogue:
    """The program with a line at a time, from the start of its `with` block to its end at the latest."""

    def __init__(self, *argv: str) -> None:
        pipe = subprocess.PIPE
        self._child = subprocess.Popen([SCRIPT, *argv], stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        with self._child:
            self._child.kill()

    def say(self, line: bytes) -> None:
        """Write a line."""
        assert self._child.stdin
        self._child.stdin.write(line + b"\n")
        self._child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the next result."""
        assert self._child.stdout
        result: dict[str, Any] = json.loads(self._child.stdout.readline())
        return result

    def leave(self) -> None:
        """Read no more results."""
        assert self._child.stdout
        self._child.stdout.close()

    def interrupt(self) -> None:
        """Do what Ctrl-C does, and wait for the end, which must come although the input has not ended."""
        self._child.send_signal(signal.SIGINT)
        self._child.wait(10)

    def ended(self) -> tuple[int, list[str]]:
        """Close standard input, and return the exit code and the lines of standard error."""
        _, stderr = self._child.communicate(timeout=40)
        return self._child.returncode, stderr.decode().splitlines()


def test_a_slow_pipe_is_answered_line_by_line() -> None:
    """The result of a line is there before the next one is sent, and the last one needs no end of line."""
    with Dialogue() as program:
        for number, line in enumerate([POINT, BAD, POINT], 1):
            program.say(line)
            assert (program.answer()["line"], number) == (number, number)
        assert program.ended() == (
            1,
            ["lines 3: upsert 2, delete 0, invalid 1", "      1  id-negative         the id is below zero"],
        )


def test_whoever_reads_may_leave_between_two_lines() -> None:
    """The next result ends it, as quietly."""
    with Dialogue() as program:
        program.say(POINT)
        program.answer()
        program.leave()
        program.say(POINT)
        assert program.ended() == (141, [])


def test_ctrl_c_ends_it_with_the_summary() -> None:
    """It does not wait for the end of the input, says what it has counted, and shows no traceback."""
    with Dialogue() as program:
        program.say(POINT)
        program.answer()
        program.interrupt()
        assert program.ended() == (130, ["lines 1: upsert 1, delete 0, invalid 0"])


def test_a_qdrant_that_goes_away_is_not_waited_for_long() -> None:
    """A dry run ends within seconds of an outage, in a sentence, with exit code 2 and what it has counted."""
    with Qdrant() as server, Dialogue("--qdrant.grpc.url", server.grpc_url) as program:
        program.say(POINT)
        assert program.answer()["code"] == "collection-unknown"
        server.kill()
        program.say(POINT)
        code, said = program.ended()
    assert code == 2
    assert said[-1].startswith("The dry run ended before its time: Qdrant at 127.0.0.1:")
    assert "lines 1: upsert 0, delete 0, invalid 1" in said
    assert not any("Traceback" in line for line in said)
