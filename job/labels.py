"""Names and uids for the operators that PyFlink and the table planner make by themselves.

With a uid an operator finds its state in a savepoint whatever else of the job has changed; without, only while nothing
has. Names are what Flink's web page shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyflink.datastream import DataStream


def label_source(j_stream: Any, uid: str, name: str) -> None:
    """Label a table source, and the operators that make this Java stream of its rows."""
    _label(reversed(_unlabelled(j_stream.getTransformation())), uid, name)


def label_sink(transformation: Any, uid: str, name: str) -> None:
    """Label a table sink, and the operator that makes its rows of a stream."""
    _label(_unlabelled(transformation), uid, name)


def label_key(stream: DataStream, uid: str) -> None:
    """Give a uid to the operator that computes the keys of a stream; its name is one that PyFlink looks for."""
    last = stream._j_data_stream.getTransformation()  # noqa: SLF001 - PyFlink shows it nowhere else
    _label(_unlabelled(last), uid, None)


def _unlabelled(last: Any) -> list[Any]:
    """Return a transformation and those before it, up to one that has a uid."""
    chain = [last]
    while (inputs := list(chain[-1].getInputs())) and inputs[0].getUid() is None:
        chain += inputs
    return chain


def _label(chain: Iterable[Any], uid: str, name: str | None) -> None:
    """Label a connector, which is the first of the chain, and its helpers."""
    # What only distributes records is no operator, and takes no uid.
    operators = [transformation for transformation in chain if _is_operator(transformation)]
    for number, operator in enumerate(operators):
        operator.setUid(f"{uid}-{number}" if number else uid)
        if name is not None:
            operator.setName(f"rows {number}" if number else name)


def _is_operator(transformation: Any) -> bool:
    return str(transformation.getClass().getSimpleName()) != "PartitionTransformation"
