"""Lists of numbers that are read together say what each says by itself."""

from __future__ import annotations

import struct

import pytest

from udfs.core.lists import UnsureError, read_numbers, read_unlike_indices

LISTS = {
    "none": [],
    "one": [[1.5]],
    "equally long": [[1.5, -2.0], [0.0, 3.25], [4.0, 5.0]],
    "unequally long": [[1.5], [2.0, 3.0, 4.0]],
    "as many numbers as equally long ones": [[1.5], [2.0, 3.0, 4.0], [5.0, 6.0]],
    "with an empty one": [[1.5, 2.0], []],
    "all empty": [[], []],
}
TOO_LARGE = {
    "last": [b"[1,1e39]", b"[2,3]"],
    "where another length would end": [b"[1,1e39,2]", b"[3]"],
    "as large as what stands between them": [b"[1,1e308]", b"[2,3]"],
    "alone": [b"[-1e39]"],
}


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_numbers_are_read_list_by_list(lists: list[list[float]]) -> None:
    """However long they are, each comes back as float32."""
    texts = [memoryview(str(numbers).encode()) for numbers in lists]
    assert read_numbers(texts) == [struct.pack(f"<{len(numbers)}f", *numbers) for numbers in lists]


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_indices_are_read_list_by_list(lists: list[list[float]]) -> None:
    """However long they are, each comes back as integers."""
    whole = [[round(10 * number) + 100 for number in numbers] for numbers in lists]
    texts = [memoryview(str(indices).encode()) for indices in whole]
    assert read_unlike_indices(texts) == [tuple(indices) for indices in whole]


@pytest.mark.parametrize("texts", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_number_too_large_is_left_to_the_exact_reader(texts: list[bytes]) -> None:
    """It looks like what stands between lists, wherever it is."""
    with pytest.raises(UnsureError):
        read_numbers(texts)
