"""The dry run, as a function: what it reads, what it says of each line, and what it refuses."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.arguments import help_text
from job.dry_run import read_record, read_value, results_of
from job.validate import INVALID, OK, REFUSED, main
from udfs.core.messages import ParseRules, parse_message
from udfs.core.refusals import Refusal
from udfs.intake import Intake

if TYPE_CHECKING:
    from pathlib import Path

    from job.dry_run import ReadLine, Result

KEYS = ["line", "outcome", "collection", "id", "code", "reason"]
POINT = b'{"collection_name":"docs","id":1}'
SERVERS = "topics: docs\nproperties.bootstrap.servers: kafka:9092\n"


class Ended(NamedTuple):
    """What is left of a dry run."""

    code: int
    stdout: str
    stderr: str

    @property
    def results(self) -> list[dict[str, Any]]:
        """What it said of each line."""
        return [json.loads(line) for line in self.stdout.split("\n")[:-1]]

    @property
    def codes(self) -> list[str | None]:
        """The code of each line."""
        return [result["code"] for result in self.results]


def dry_run(*argv: str) -> Ended:
    """Run it in this process."""
    stdout, stderr = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = main(argv)
    stdout.seek(0)
    return Ended(code, stdout.read(), stderr.getvalue())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one good message."""
    path = tmp_path / "messages.jsonl"
    path.write_bytes(POINT)
    return path


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(POINT, [None], id="no end"),
        pytest.param(POINT + b"\n", [None], id="one line"),
        pytest.param(POINT + b"\r\n" + POINT + b"\r\n", [None, None], id="ends of Windows"),
        pytest.param(POINT + b"\n\n" + POINT, [None, "json-unreadable", None], id="empty line"),
        pytest.param(b"\n\r\n", ["json-unreadable"] * 2, id="empty lines only"),
        pytest.param(POINT + b"\r" + POINT, ["json-trailing"], id="an end of no line"),
        pytest.param(POINT + b"\x00\n\xff\n" + POINT, ["json-trailing", "json-encoding", None], id="any bytes"),
    ],
)
def test_a_line_is_a_message(file: Path, text: bytes, codes: list[str | None]) -> None:
    r"""Each \n or \r\n ends one, the last may lack it, and there is a result for each in its place."""
    file.write_bytes(text)
    ended = dry_run(str(file))
    assert ended.codes == codes
    assert [result["line"] for result in ended.results] == list(range(1, len(codes) + 1))
    assert ended.code == (INVALID if any(codes) else OK)


def test_the_end_of_a_line_is_not_of_the_message(file: Path) -> None:
    """It does not count as bytes of the message, either."""
    file.write_bytes(POINT + b"\r\n" + POINT + b"\n" + POINT + b" ")
    assert dry_run(f"--sink.record.max-size={len(POINT)}", str(file)).codes == [None, None, "record-too-large"]


def test_a_result_has_six_keys(file: Path) -> None:
    """All of them are there in one order, with null for what does not apply; ids are exact."""
    lines = [
        {"value": '{"collection_name":"docs","id":18446744073709551615}'},
        {"key": '{"collection_name":"docs","id":"550E8400E29B41D4A716446655440000"}', "value": None},
        {"value": '{"collection_name":"docs","id":-1}'},
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    upsert, delete, invalid = dry_run("--records", str(file)).results
    assert [list(result) for result in (upsert, delete, invalid)] == [KEYS] * 3
    assert list(upsert.values()) == [1, "upsert", "docs", 2**64 - 1, None, None]
    assert list(delete.values()) == [2, "delete", "docs", "550e8400-e29b-41d4-a716-446655440000", None, None]
    assert list(invalid.values())[:5] == [3, "invalid", None, None, "id-negative"]
    assert invalid["reason"].startswith('"id" is -1; ')


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param('{"key": null, "value": "{}"}', "collection-missing", id="key null"),
        pytest.param('{"value": "{}"}', "collection-missing", id="no key"),
        pytest.param('{"value": "{}", "topic": "docs", "offset": 7}', "collection-missing", id="other fields"),
        pytest.param('{"key": "", "value": ""}', "json-unreadable", id="empty strings"),
        pytest.param('{"value": null}', "key-missing", id="tombstone without a key"),
        pytest.param('{"key": "", "value": null}', "json-unreadable", id="tombstone, key empty"),
        pytest.param("", "record-unreadable", id="empty"),
        pytest.param("{'value': '{}'}", "record-unreadable", id="no JSON"),
        pytest.param('{"key": "x"}', "record-unreadable", id="no value"),
        pytest.param('{"Value": "{}"}', "record-unreadable", id="value in upper case"),
        pytest.param('{"value": {}}', "record-unreadable", id="value an object"),
        pytest.param('{"key": 5, "value": "{}"}', "record-unreadable", id="key a number"),
        pytest.param('["key", "value"]', "record-unreadable", id="list"),
        pytest.param(r'{"value": "\ud834"}', "record-unreadable", id="half a character"),
        pytest.param("[" * 10_000, "record-unreadable", id="10,000 lists"),
        pytest.param('{"collection_name": "docs", "id": 1}', "record-unreadable", id="a value alone"),
    ],
)
def test_a_record_is_judged_by_key_and_value(file: Path, line: str, code: str) -> None:
    """A key may be left out; a line that gives no value is no record, says so, and harms no other."""
    file.write_text(f'{line}\n{{"value": {json.dumps(POINT.decode())}}}\n')
    ended = dry_run("--records", str(file))
    assert ended.codes == [code, None]
    is_told = 'with --records a line is {"key": …, "value": …}, each a string or null' in ended.results[0]["reason"]
    assert is_told == (code == "record-unreadable")
    assert len(ended.results[0]["reason"]) < 400


def test_the_settings_of_the_job_count(file: Path) -> None:
    """The collection that is set is that of upserts and tombstones; the size is that of key and value together."""
    lines = [{"key": '{"id":1}', "value": None}, {"value": '{"collection_name":5,"id":2}'}, {"value": " " * 90}]
    file.write_text("\n".join(map(json.dumps, lines)))
    ended = dry_run("--records", "--qdrant.collection.name", "all", str(file), "--sink.record.max-size=80 b")
    assert [(result["collection"], result["code"]) for result in ended.results] == [
        ("all", None),
        ("all", None),
        (None, "record-too-large"),
    ]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(SERVERS, id="topics"),
        pytest.param("topic-pattern: docs.*\n", id="pattern"),
        pytest.param("qdrant.collection.name: other\n", id="hardly anything"),
        pytest.param(f"{SERVERS}kafka.connector.jar: /not/on/this/machine.jar\n", id="a jar that is not here"),
        pytest.param(f"{SERVERS}scan.startup.mode: timestamp\nscan.startup.timestamp-millis: 1\n", id="a start"),
        pytest.param(f"{SERVERS}properties: {{client.id: me}}\nflink.rest.port: 8081\nlanes: 3\n", id="all sorts"),
    ],
)
def test_the_file_of_a_job_is_taken(file: Path, tmp_path: Path, more: str) -> None:
    """Whatever the job's YAML file says beside, it does not get in the way, and arguments win over it."""
    config = tmp_path / "job.yaml"
    config.write_text(f"{more}sink.record.max-size: 10 b\n")
    assert dry_run("--config", str(config), str(file)).codes == ["record-too-large"]
    assert dry_run("--config", str(config), "--sink.record.max-size=1 kb", str(file)).code == OK


def test_an_empty_url_asks_no_qdrant(file: Path, tmp_path: Path) -> None:
    """A dry run without Qdrant is one word away, whatever the YAML file says."""
    config = tmp_path / "job.yaml"
    config.write_text("qdrant.grpc.url: http://localhost:1\n")
    ended = dry_run("--config", str(config), str(file))
    assert ended.code == REFUSED
    assert "Nothing answers at http://localhost:1" in ended.stderr
    assert dry_run("--config", str(config), "--qdrant.grpc.url=", str(file)).code == OK


# id: the arguments, and the beginnings of the sentences
MISUSE: dict[str, tuple[list[str], list[str]]] = {
    "no-such-file": (["none.jsonl"], ["FILE is 'none.jsonl': No such file or directory."]),
    "folder": (["/"], ["FILE is '/': Is a directory."]),
    "no-folder": (["/proc/self/mem/x"], ["FILE is '/proc/self/mem/x': Not a directory."]),
    "two-files": (["a", "-"], ["There is more than one FILE, 'a' and '-': give one, or - for stdin."]),
    "misspelt": (["--qdrant.colection.name=x"], ["qdrant.colection.name is not a setting: did you mean qdrant.coll"]),
    "bad-value": (["--sink.record.max-size", "big"], ["sink.record.max-size is 'big': give a size such as"]),
    "bad-url": (["--qdrant.grpc.url", "qdrant:6334"], ["qdrant.grpc.url is 'qdrant:6334': write http://HOST:PORT"]),
    "topics-and-pattern": (["--topics=a", "--topic-pattern=a"], ["topic-pattern is 'a': topics is given too"]),
    "no-value": (["--lanes", "--records"], ["lanes is given without a value"]),
    "dashes": (["--"], ["'--' belongs to no setting"]),
    "value-of-a-flag": (["--records=yes"], ["records is not a setting"]),
    "all-at-once": (
        ["--lanes", "0", "a", "--config", "none.yaml", "--lane", "1", "b"],
        [
            "config is 'none.yaml': No such file or directory.",
            "lanes is '0': give 1 or more.",
            "lane is not a setting: did you mean lanes?",
            "There is more than one FILE, 'a' and 'b'",
        ],
    ),
}


@pytest.mark.parametrize(("argv", "beginnings"), MISUSE.values(), ids=MISUSE.keys())
def test_misuse_is_said_in_sentences(file: Path, argv: list[str], beginnings: list[str]) -> None:
    """All of them at once, before anything is judged, with exit code 2."""
    has_file = any("FILE" in beginning for beginning in beginnings)
    ended = dry_run(*argv, *([] if has_file else [str(file)]))
    heading, *faults = ended.stderr.splitlines()
    assert (ended.code, ended.stdout, heading) == (REFUSED, "", "Nothing was validated:")
    assert len(faults) == len(beginnings), faults
    for fault, beginning in zip(faults, beginnings, strict=True):
        assert fault.startswith(f"  - {beginning}")


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_explains_what_counts(word: str) -> None:
    """It shows the usage and the settings that a dry run heeds, refuses nothing and requires nothing."""
    ended = dry_run("none.jsonl", "--lane=1", word)
    assert (ended.code, ended.stderr) == (OK, "")
    assert ended.stdout.startswith("Usage: scripts/validate [--records] [setting…] [FILE|-]\n")
    names = {line.split()[0] for line in ended.stdout.splitlines() if line.startswith("  --")}
    settings = {"collection.name", "grpc.url", "api.key"}
    assert names == {*(f"--qdrant.{name}" for name in settings), "--sink.record.max-size", "--sink.request.timeout"}
    assert "(required)" not in ended.stdout
    assert max(len(line) for line in ended.stdout.splitlines()) <= max(map(len, help_text(80).splitlines()))


def test_the_summary_counts_by_code(file: Path) -> None:
    """It has the number of every outcome and, the most frequent first, of every code, with its meaning."""
    tombstone = json.dumps({"key": POINT.decode(), "value": None})
    good, bad = (json.dumps({"value": text}) for text in (POINT.decode(), "{}"))
    file.write_text(f"{good}\n{good}\n{tombstone}\noops\n{bad}\n{bad}")
    ended = dry_run(str(file), "--records")
    assert ended.code == INVALID
    assert ended.stderr.splitlines() == [
        "lines 6: upsert 2, delete 1, invalid 3",
        "      2  collection-missing  no collection is named, and none is configured",
        "      1  record-unreadable   the line is no record such as --records takes",
    ]


class Pieces(io.RawIOBase):
    """A file that hands out its bytes as a slow pipe does, a piece with each read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.left = [piece for piece in pieces if piece]

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Hand out the next piece."""
        if not self.left:
            return 0
        piece = self.left.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)


def judged(source: io.RawIOBase, read_line: ReadLine = read_value) -> list[Result]:
    """Return all results."""

    async def collect() -> list[Result]:
        found = results_of(io.BufferedReader(source), read_line, Intake(ParseRules()))
        return [result async for results in found for result in results]

    return asyncio.run(collect())


LINES = st.one_of(
    st.binary(max_size=50),
    st.text(max_size=50).map(str.encode),
    st.fixed_dictionaries(
        {
            "collection_name": st.text(max_size=3),
            "id": st.integers(-1, 2**64),
            "payload": st.dictionaries(st.text(), st.text()),
        }
    ).map(lambda message: json.dumps(message).encode()),
).filter(lambda line: b"\n" not in line)


@given(lines=st.lists(LINES))
def test_any_lines_are_judged_as_in_the_job(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Whatever the bytes: a result for each line, which is the parser's own, and exit code 1 just if one is invalid."""
    file = tmp_path_factory.getbasetemp() / "any.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    outcomes = [parse_message(None, line.removesuffix(b"\r"), ParseRules()) for line in lines]
    faults = [(said.code, said.reason) if isinstance(said, Refusal) else (None, None) for said in outcomes]
    ended = dry_run(str(file))
    assert [(result["code"], result["reason"]) for result in ended.results] == faults
    assert [result["outcome"] for result in ended.results] == ["invalid" if code else "upsert" for code, _ in faults]
    assert ended.code == (INVALID if any(code for code, _ in faults) else OK)


@given(texts=st.lists(st.tuples(st.none() | st.text(), st.none() | st.text())))
def test_a_record_reaches_the_parser_as_it_was(texts: list[tuple[str | None, str | None]]) -> None:
    """Every key and value that JSON can say is read back to the byte."""
    for key, value in texts:
        read = read_record(json.dumps({"key": key, "value": value}).encode())
        assert read == (None if key is None else key.encode(), None if value is None else value.encode())


@given(pieces=st.lists(st.lists(st.sampled_from([b"\n", b"\r\n", b"{}", POINT])).map(b"".join)))
def test_where_a_read_ends_does_not_matter(pieces: list[bytes]) -> None:
    """A line may come in many pieces, and a piece may hold many lines."""
    text = b"".join(pieces)
    results = judged(Pieces(pieces))
    assert results == judged(Pieces([text]))
    assert len(results) == text.count(b"\n") + (text[-1:] not in (b"", b"\n"))


def test_a_result_waits_for_no_further_read() -> None:
    """What a read brought is judged before the next one, so nothing waits, and no more is held than one read."""

    async def watch() -> list[tuple[int, int]]:
        source = Pieces([POINT[:5], POINT[5:] + b"\n", POINT + b"\n{}\n" + POINT, b"\n"])
        found = results_of(io.BufferedReader(source), read_value, Intake(ParseRules()))
        return [(len(results), len(source.left)) async for results in found]

    assert asyncio.run(watch()) == [(1, 2), (2, 1), (1, 0)]
