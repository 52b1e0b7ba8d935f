"""What is wrong with settings is said in sentences, all at once, and without a secret."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from job.arguments import load_settings
from job.faults import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

LEAST = ["--topics=docs", "--properties.bootstrap.servers=kafka:9092", "--qdrant.grpc.url=http://qdrant"]
AT_ONE = "scan.startup.specific-offsets"
LETTERS = "errors.deadletterqueue.topic.name"

# id: the arguments beside LEAST, and the beginnings of the sentences to expect, in any order, and no others
FAULTS: dict[str, tuple[list[str], list[str]]] = {
    "number-too-small": (["--lanes=0"], ["lanes is '0': give 1 or more."]),
    "no-number": (["--parallelism", "two"], ["parallelism is 'two': give a whole number."]),
    "fraction": (["--sink.batch.max-size=1.5"], ["sink.batch.max-size is '1.5': give a whole number."]),
    "batch-of-none": (["--sink.batch.max-size=0"], ["sink.batch.max-size is '0': give 1 or more."]),
    "bundle-of-none": (
        ["--python.fn-execution.bundle.size=0"],
        ["python.fn-execution.bundle.size is '0': give 1 or more."],
    ),
    "more-than-an-integer": (
        ["--python.fn-execution.bundle.size=3000000000"],
        ["python.fn-execution.bundle.size is '3000000000': give 2147483647 at most."],
    ),
    "more-than-a-long": (
        ["--scan.startup.mode=timestamp", f"--scan.startup.timestamp-millis={2**63}"],
        [f"scan.startup.timestamp-millis is '{2**63}': give {2**63 - 1} at most."],
    ),
    "no-bundle-time": (
        ["--python.fn-execution.bundle.time=0"],
        ["python.fn-execution.bundle.time is '0': give 1 ms or more."],
    ),
    "none-in-flight": (["--sink.requests.max-inflight=0"], ["sink.requests.max-inflight is '0': give 1 or more."]),
    "no-size": (["--sink.flush-buffer.size=big"], ["sink.flush-buffer.size is 'big': give a size such as"]),
    "size-zero": (["--sink.flush-buffer.size=0"], ["sink.flush-buffer.size is '0': give 1 or more."]),
    "size-beyond-protobuf": (["--sink.record.max-size=1 gb"], ["sink.record.max-size is '1 gb': give less than"]),
    "no-duration": (["--sink.request.timeout=soon"], ["sink.request.timeout is 'soon': give a duration such as"]),
    "request-too-short": (["--sink.request.timeout=999 ms"], ["sink.request.timeout is '999 ms': give 1 s or more."]),
    "retry-shorter-than-a-request": (
        ["--sink.retry.max-time=30 s"],
        ["sink.retry.max-time is '30 s': one request alone may take sink.request.timeout, 60 s; give more."],
    ),
    "no-checkpoints": (
        ["--execution.checkpointing.interval=0"],
        ["execution.checkpointing.interval is '0': checkpoints cannot be switched off"],
    ),
    "checkpoints-disabled": (
        ["--execution.checkpointing.interval=disabled"],
        ["execution.checkpointing.interval is 'disabled': checkpoints cannot be switched off"],
    ),
    "relative-checkpoints": (
        ["--execution.checkpointing.dir=chk"],
        ["execution.checkpointing.dir is 'chk': give a URI such as s3://bucket/checkpoints, or an absolute path."],
    ),
    "tolerance-some": (["--errors.tolerance=some"], ["errors.tolerance is 'some': give one of 'none' or 'all'."]),
    "tolerance-without-a-topic": (
        ["--errors.tolerance=all"],
        [f"{LETTERS} is missing: errors.tolerance=all needs it."],
    ),
    "topic-without-tolerance": (
        [f"--{LETTERS}=letters"],
        [f"{LETTERS} is 'letters': it counts for errors.tolerance=all only, which is none now."],
    ),
    "no-tolerance-and-a-topic": (
        ["--errors.tolerance=none", f"--{LETTERS}=letters"],
        [f"{LETTERS} is 'letters': it counts for errors.tolerance=all only, which is none now."],
    ),
    "dead-letters-into-what-is-read": (
        ["--errors.tolerance=all", f"--{LETTERS}=docs"],
        [f"{LETTERS} is 'docs': this topic is read, so its dead letters would come back for ever; give another one."],
    ),
    "no-topic-for-dead-letters": (
        ["--errors.tolerance=all", f"--{LETTERS}=dead letters"],
        [f"{LETTERS} is 'dead letters': a topic's name has letters, digits, dots, underscores and hyphens, 249"],
    ),
    "two-topics-for-dead-letters": (
        ["--errors.tolerance=all", f"--{LETTERS}=a,b"],
        [f"{LETTERS} is 'a,b': a topic's name has letters"],
    ),
    "no-share": (["--errors.limit.share=most"], ["errors.limit.share is 'most': give a number."]),
    "share-of-nothing": (["--errors.limit.share=0"], ["errors.limit.share is '0': give more than 0.0."]),
    "share-above-all": (["--errors.limit.share=1.1"], ["errors.limit.share is '1.1': give 1.0 at most."]),
    "share-in-percent": (["--errors.limit.share=90%"], ["errors.limit.share is '90%': give a number."]),
    "share-that-is-no-number": (["--errors.limit.share=nan"], ["errors.limit.share is 'nan': give "]),
    "negative-limit": (["--errors.limit.count=-1"], ["errors.limit.count is '-1': give 0 or more."]),
    "no-window": (["--errors.limit.window=0"], ["errors.limit.window is '0': give 1 s or more."]),
    "window-without-end": (["--errors.limit.window=ever"], ["errors.limit.window is 'ever': give a duration such as"]),
    "empty-collection": (["--qdrant.collection.name="], ["qdrant.collection.name is '': give some text"]),
    "empty-name": (["--job.name", " "], ["job.name is ' ': give some text"]),
    "no-jar": (["--kafka.connector.jar=none.jar"], ["kafka.connector.jar is 'none.jar': there is no such file."]),
    "literal-key": (["--qdrant.api.key=hidden"], ["qdrant.api.key is ***: a key written here would be stored in the"]),
    "relative-key-file": (["--qdrant.api.key=file:hidden"], ["qdrant.api.key is ***: a key written here would"]),
    "literal-key-as-variable": (["--qdrant.api.key=env:hid-den"], ["qdrant.api.key is ***: a key written here would"]),
    "relative-authority": (
        ["--qdrant.tls.ca.file=ca.pem"],
        ["qdrant.tls.ca.file is 'ca.pem': give an absolute path, since workers run in folders of their own."],
    ),
    "authority-without-tls": (
        ["--qdrant.tls.ca.file=/ca.pem"],
        ["qdrant.tls.ca.file is '/ca.pem': it counts for TLS only; write https:// in qdrant.grpc.url, which is http:"],
    ),
    "topics-and-pattern": (["--topic-pattern=d.*"], ["topic-pattern is 'd.*': topics is given too; give one of the"]),
    "no-pattern": (["--topic-pattern=["], ["topic-pattern is '[': give a regular expression; this is none: untermin"]),
    "unknown-mode": (["--scan.startup.mode=newest"], ["scan.startup.mode is 'newest': give one of 'group-offsets', "]),
    "unknown-reset": (["--properties.auto.offset.reset=x"], ["properties.auto.offset.reset is 'x': give one of 'earl"]),
    "start-without-timestamp": (
        ["--scan.startup.mode=timestamp"],
        ["scan.startup.timestamp-millis is missing: scan.startup.mode=timestamp needs it."],
    ),
    "end-without-timestamp": (
        ["--scan.bounded.mode=timestamp"],
        ["scan.bounded.timestamp-millis is missing: scan.bounded.mode=timestamp needs it."],
    ),
    "start-without-offsets": (
        ["--scan.startup.mode=specific-offsets"],
        [f"{AT_ONE} is missing: scan.startup.mode=specific-offsets needs it."],
    ),
    "end-without-offsets": (
        ["--scan.bounded.mode=specific-offsets"],
        ["scan.bounded.specific-offsets is missing: scan.bounded.mode=specific-offsets needs it."],
    ),
    "timestamp-without-its-mode": (
        ["--scan.startup.timestamp-millis=1"],
        ["scan.startup.timestamp-millis is '1': it counts for scan.startup.mode=timestamp only, which is group-offs"],
    ),
    "negative-timestamp": (
        ["--scan.startup.mode=timestamp", "--scan.startup.timestamp-millis=-1"],
        ["scan.startup.timestamp-millis is '-1': give 0 or more."],
    ),
    "end-before-start": (
        [
            *("--scan.startup.mode=timestamp", "--scan.startup.timestamp-millis=9"),
            *("--scan.bounded.mode=timestamp", "--scan.bounded.timestamp-millis=8"),
        ],
        ["scan.bounded.timestamp-millis is '8': it is before scan.startup.timestamp-millis, 9, so nothing would be"],
    ),
    "no-offsets": (
        ["--scan.startup.mode=specific-offsets", f"--{AT_ONE}=0:42"],
        [f"{AT_ONE} is '0:42': write `partition:0,offset:42;partition:1,offset:300`."],
    ),
    "partition-twice": (
        ["--scan.startup.mode=specific-offsets", f"--{AT_ONE}=partition:0,offset:1;partition:00,offset:2"],
        [f"{AT_ONE} is 'partition:0,offset:1;partition:00,offset:2': name each partition once."],
    ),
    "auto-commit": (
        ["--properties.enable.auto.commit=true"],
        ["properties.enable.auto.commit is 'true': it commits messages that are not in Qdrant yet"],
    ),
    "source-parallelism": (["--scan.parallelism=2"], ["scan.parallelism is '2': reading and parsing need the same"]),
    "unaligned": (
        ["--execution.checkpointing.unaligned.enabled=true"],
        ["execution.checkpointing.unaligned.enabled is 'true': unaligned checkpoints keep messages in their state"],
    ),
    "unaligned-by-flinks-own-name": (
        ["--flink.execution.checkpointing.unaligned.enabled=true"],
        ["flink.execution.checkpointing.unaligned.enabled is 'true': unaligned checkpoints keep messages in their st"],
    ),
    "aligned": (
        ["--execution.checkpointing.unaligned.enabled=false"],
        ["execution.checkpointing.unaligned.enabled is not a setting: for an option of Flink write flink.exec"],
    ),
    "thread-mode": (["--python.execution-mode=thread"], ["python.execution-mode is 'thread': only Python workers in"]),
    "no-chaining": (
        ["--pipeline.operator-chaining.enabled=false", "--python.operator-chaining.enabled=False"],
        [
            "pipeline.operator-chaining.enabled is 'false': open batches can be handed over inside a chain",
            "python.operator-chaining.enabled is 'False': open batches can be handed over inside a chain",
        ],
    ),
    "misspelt": (["--lane=3"], ["lane is not a setting: did you mean lanes?"]),
    "without-its-prefix": (["--group.id=3"], ["group.id is not a setting: did you mean properties.group.id?"]),
    "of-flink": (
        ["--taskmanager.numberOfTaskSlots=2"],
        ["taskmanager.numberOfTaskSlots is not a setting: for an opt"],
    ),
    "unheard-of": (["--zzz=2"], ["zzz is not a setting: --help lists them all."]),
    "no-value": (["--lanes"], ["lanes is given without a value: write --name value."]),
    "no-value-but-a-name": (["--lanes", "--job.name=x"], ["lanes is given without a value: write --name value."]),
    "twice": (["--lanes=1", "--lanes=2"], ["lanes is given twice: give it once."]),
    "stray-text": (["--lanes", "1", "2"], ["'2' belongs to no setting: write --name value, or --name=value."]),
    "stray-secret": (["--qdrant.api.key", "env:A", "hidden"], ["*** belongs to no setting: write --name value"]),
    "dashes": (["--", "--=3"], ["'--' belongs to no setting", "'--=3' belongs to no setting"]),
    "no-file": (["--config=none.yaml"], ["config is 'none.yaml': No such file or directory."]),
}
URLS = {
    "no-scheme": "qdrant:6334",
    "other-scheme": "grpc://qdrant:6334",
    "no-host": "http://:6334",
    "path": "http://qdrant:6334/points",
    "bad-port": "http://qdrant:port",
    "port-too-large": "http://qdrant:65536",
    "bad-address": "http://[qdrant",
    "user": "http://me:hidden@qdrant",
    "user-without-scheme": "me:hidden@qdrant",
    "key": "http://qdrant?api-key=hidden",
    "empty": "",
}
TOPICS = {"twice": "a,a", "character": "a,b c", "dots": "..", "long": "a" * 250}


def _faults(argv: list[str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(argv)
    assert "hidden" not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert all(len(fault) < 400 for fault in caught.value.faults)
    return caught.value.faults


def _assert_begin(faults: tuple[str, ...], beginnings: list[str]) -> None:
    assert len(faults) == len(beginnings), faults
    for beginning in beginnings:
        assert any(fault.startswith(beginning) for fault in faults), faults


@pytest.mark.parametrize(("argv", "beginnings"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_sentence(argv: list[str], beginnings: list[str]) -> None:
    """A fault names setting, value and what to write; it causes no other, and shows no secret."""
    _assert_begin(_faults([*LEAST, *argv]), beginnings)


@pytest.mark.parametrize("url", URLS.values(), ids=URLS.keys())
def test_a_bad_url_is_refused(url: str) -> None:
    """Only http or https with a host, and perhaps a port, is an address of Qdrant; a password in it is not shown."""
    _assert_begin(_faults([*LEAST[:2], "--qdrant.grpc.url", url]), ["qdrant.grpc.url is "])


@pytest.mark.parametrize("topics", TOPICS.values(), ids=TOPICS.keys())
def test_bad_topics_are_refused(topics: str) -> None:
    """Kafka's rules for names hold, and a topic is named once; that there is no good topic is no second fault."""
    _assert_begin(_faults([*LEAST[1:], "--topics", topics]), ["topics is "])


def test_what_is_required_is_called_missing() -> None:
    """Without settings, exactly what is required is missing."""
    missing = ["properties.bootstrap.servers", "qdrant.grpc.url", "topic-pattern"]
    _assert_begin(_faults([]), [f"{name} is missing: " for name in missing])


def test_offsets_need_a_single_topic() -> None:
    """Two faults of one setting are both said: offsets that are not there, for topics that cannot have any."""
    argv = ["--topics=a,b", *LEAST[1:], "--scan.startup.mode=specific-offsets"]
    (fault,) = _faults(argv)
    assert fault == (
        f"{AT_ONE} is missing: scan.startup.mode=specific-offsets needs it; offsets belong to a single topic, so give"
        " exactly one in topics."
    )
    _assert_begin(
        _faults([*argv, f"--{AT_ONE}=partition:0,offset:1"]), [f"{AT_ONE} is 'partition:0,offset:1': offsets"]
    )


@pytest.mark.parametrize(("pattern", "is_read"), [("d.*", True), ("d", False), ("dead|docs", True), ("(?i)DEAD", True)])
def test_dead_letters_do_not_go_to_a_topic_that_the_pattern_fits(pattern: str, is_read: bool) -> None:  # noqa: FBT001 - a table of two
    """A pattern must fit the whole name to read it."""
    argv = [*LEAST[1:], f"--topic-pattern={pattern}", "--errors.tolerance=all", f"--{LETTERS}=dead"]
    if is_read:
        _assert_begin(_faults(argv), [f"{LETTERS} is 'dead': this topic is read, so"])
    else:
        assert load_settings(argv).errors_deadletterqueue_topic_name == "dead"


def test_all_faults_of_all_kinds_are_said_at_once(tmp_path: Path) -> None:
    """Faults of arguments, file, names, values, rules on two settings and promises do not hide each other."""
    file = tmp_path / "job.yaml"
    file.write_text("lanes: 0\nqdrant:\n  api.key: hidden\n  grpc.ulr: x\nsink.batch.max-size:\njob: {name: [a, b]}\n")
    argv = ["stray", "--config", str(file), "--topics=a", "--topic-pattern=a", "--scan.bounded.mode=timestamp"]
    _assert_begin(
        _faults([*argv, "--errors.tolerance=all", "--scan.parallelism=3", "--sink.request.timeout=1 week"]),
        [
            "'stray' belongs to no setting",
            "lanes is '0' (job.yaml, line 1): give 1 or more.",
            "qdrant.api.key is *** (job.yaml, line 3): a key written here",
            "qdrant.grpc.ulr is not a setting (job.yaml, line 4): did you mean qdrant.grpc.url?",
            "sink.batch.max-size is given without a value (job.yaml, line 5)",
            "job.name is given without a value (job.yaml, line 6): write a single one",
            "topic-pattern is 'a': topics is given too",
            "scan.bounded.timestamp-millis is missing",
            "errors.deadletterqueue.topic.name is missing: errors.tolerance=all needs it",
            "scan.parallelism is '3'",
            "sink.request.timeout is '1 week'",
            "qdrant.grpc.url is missing",
            "properties.bootstrap.servers is missing",
        ],
    )


FILES = {
    "no-mapping": ("- topics", "config is 'job.yaml': write lines such as `topics: docs`."),
    "text": ("topics", "config is 'job.yaml': write lines such as `topics: docs`."),
    "bad-yaml": ("lanes: 3\nqdrant.api.key: 'hidden", "found unexpected end of stream in line 2"),
    "secret-alias": ("qdrant.api.key: *hidden", "found undefined alias … in line 1"),
    "tab": ("lanes:\n\t- 3", "found character … that cannot start any token in line 2"),
    "control": ("lanes: \x01hidden", "it is not YAML in UTF-8"),
    "not-utf-8": ("lanes: \udcff", "it is not YAML in UTF-8"),
    "two-documents": ("lanes: 3\n---\nlanes: 4", "but found another document in line 2"),
    "twice": ("lanes: 3\nlanes: 4", "lanes is given twice (job.yaml, line 2): give it once."),
    "twice-nested": ("job.name: a\njob: {name: b}", "job.name is given twice (job.yaml, line 2): give it once."),
    "endless": ("lanes: &lanes {a: *lanes}", "is given without a value (job.yaml, line 1)"),
    "odd-name": ("? [a]\n: 3", "? is not a setting (job.yaml, line 2)"),
}


@pytest.mark.parametrize(("text", "sentence"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_one_fault(tmp_path: Path, text: str, sentence: str) -> None:
    """A file that cannot be read as settings says where, shows none of its text, and makes nothing else missing."""
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    (fault,) = _faults([*LEAST, f"--config={file}"])
    assert sentence in fault


def test_an_unreadable_file_makes_nothing_missing() -> None:
    """Whether something is missing is not known when the file cannot be read."""
    assert _faults(["--config=none.yaml"]) == ("config is 'none.yaml': No such file or directory.",)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    """A file of comments is as good as none."""
    (tmp_path / "job.yaml").write_text("# nothing yet\n")
    assert load_settings([*LEAST, f"--config={tmp_path}/job.yaml"]) == load_settings(LEAST)


def test_a_long_value_is_shortened() -> None:
    """A sentence shows enough of a value to find it, not all."""
    (fault,) = _faults([*LEAST, f"--lanes={'x' * 1000}"])
    assert fault == f"lanes is '{'x' * 79}…': give a whole number."


def test_the_error_can_be_pickled() -> None:
    """The faults survive the way between processes."""
    error = pickle.loads(pickle.dumps(SettingsError(("one.", "two."))))  # noqa: S301 - our own
    assert error.faults == ("one.", "two.")
    assert str(error) == "one.\ntwo."
