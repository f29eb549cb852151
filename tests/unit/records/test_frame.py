from __future__ import annotations

from pileus.records import frame


def test_the_checksum_is_castagnolis() -> None:
    """The check value of CRC-32C (RFC 3720, appendix B.4) and of 32 zeros."""
    assert frame.crc32c(b"123456789") == 0xE3069283
    assert frame.crc32c(bytes(32)) == 0x8A9136AA


def test_a_header_is_tensorflows() -> None:
    """The first twelve bytes of every TensorBoard event file: a first record of 24 bytes."""
    assert frame.header(24) == bytes.fromhex("1800000000000000a37f4b22")


def test_a_header_names_its_length_or_nothing() -> None:
    head = frame.header(1 << 40)
    assert frame.header_length(head) == 1 << 40
    assert frame.header_length(head[:-1]) is None
    assert frame.header_length(b"") is None
    assert frame.header_length(bytes([head[0] ^ 1]) + head[1:]) is None
