"""The sample of a parity run: by the hash of key and salt, about the asked share, other keys with another salt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lake.parity import Key, Sample

KEYS: list[Key] = [(f"s-{n % 7}", f"p-{n}") for n in range(2_000)]
salts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=40)
shares = st.floats(0.1, 0.9)


def taken(share: float, salt: str) -> set[Key]:
    sample = Sample(share, salt)
    return {key for key in KEYS if sample.has(key)}


@given(shares, salts)
def test_a_sample_has_about_the_asked_share_of_the_keys(share: float, salt: str) -> None:
    expected = share * len(KEYS)
    deviation = (expected * (1 - share)) ** 0.5

    assert abs(len(taken(share, salt)) - expected) < 6 * deviation


@given(shares, salts, salts)
def test_one_salt_takes_the_same_keys_and_another_takes_keys_regardless_of_the_first(share: float, salt: str, other: str) -> None:
    first, second = taken(share, salt), taken(share, other)

    assert taken(share, salt) == first
    if salt != other:
        both = share**2
        assert first != second
        assert abs(len(first & second) - both * len(KEYS)) < 6 * (len(KEYS) * both * (1 - both)) ** 0.5


@given(st.floats(0, 1), st.floats(0, 1), salts)
def test_a_larger_share_has_the_keys_of_a_smaller_one(one: float, other: float, salt: str) -> None:
    assert taken(min(one, other), salt) <= taken(max(one, other), salt)
    assert taken(1.0, salt) == set(KEYS)
    assert taken(0.0, salt) == set()
