"""The two ways of the stream: written by the worker that parsed it, or keyed."""

from __future__ import annotations

import pytest

TWO_LANES = ("--lanes=2",)

with_and_without_lanes = pytest.mark.parametrize("lanes", [(), TWO_LANES], ids=["no lanes", "two lanes"])
