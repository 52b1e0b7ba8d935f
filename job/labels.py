"""Names and uids for the operators that PyFlink and the table planner make by themselves.

With a uid an operator finds its state in a savepoint whatever else of the job has changed; without, only while nothing
has. Names are what Flink's web page shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyflink.datastream import DataStream


def label_source(stream: DataStream, uid: str, name: str) -> None:
    """Label a table source, and what turns its rows into this stream."""
    chain = _unlabelled(_transformation(stream))
    _set_uids(reversed(chain), uid)
    chain[-1].setName(name)


def label_sink(transformation: Any, uid: str, name: str) -> None:
    """Label a table sink, and what turns a stream into its rows."""
    chain = _unlabelled(transformation)
    _set_uids(chain, uid)
    chain[0].setName(name)


def label_key(stream: DataStream, uid: str) -> None:
    """Label the operator that computes the keys of a keyed stream; by its name PyFlink finds it again."""
    _set_uids(_unlabelled(_transformation(stream)), uid)


def _transformation(stream: DataStream) -> Any:
    return stream._j_data_stream.getTransformation()  # noqa: SLF001 - PyFlink shows it nowhere else


def _unlabelled(last: Any) -> list[Any]:
    """Return a transformation and those before it, up to one that has a uid."""
    chain = [last]
    while (inputs := list(chain[-1].getInputs())) and inputs[0].getUid() is None:
        chain += inputs
    return chain


def _set_uids(chain: Any, uid: str) -> None:
    # What only distributes records is no operator, and takes no uid.
    operators = [transformation for transformation in chain if _is_operator(transformation)]
    for number, operator in enumerate(operators):
        operator.setUid(f"{uid}-{number}" if number else uid)


def _is_operator(transformation: Any) -> bool:
    return str(transformation.getClass().getSimpleName()) != "PartitionTransformation"
