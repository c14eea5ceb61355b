"""What the Native format lacks when the engine writes it.

A server writes Native for the protocol revision that ``client_protocol_version`` names. The
embedded engine always writes revision 0: no block info in front of a block, and the time zone cut
off a column of type ``DateTime('zone')``. Both are put back here.
"""

from __future__ import annotations

from .failures import NOT_IMPLEMENTED, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# src/Core/ProtocolDefines.h: DBMS_MIN_REVISION_WITH_...
BLOCK_INFO = 51903
TIME_ZONE_IN_DATETIME = 54337
CUSTOM_SERIALIZATION = 54454

# Field 1 (is_overflows) = 0, field 2 (bucket_num) = -1, end of fields.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_STRIPPED = b"\x08DateTime"


def check_revision(revision: int) -> None:
    """Refuse revisions whose blocks cannot be built here."""
    if revision >= CUSTOM_SERIALIZATION:
        raise Failure(
            NOT_IMPLEMENTED,
            f"client_protocol_version={revision} is not supported: the chdb engine writes Native "
            f"without per-column serialization kinds, so at most {CUSTOM_SERIALIZATION - 1} can "
            "be served over HTTP.",
        )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(value: bytes) -> bytes:
    return _varint(len(value)) + value


class Reviser:
    """Turns the engine's blocks into those a client of ``revision`` expects."""

    def __init__(self, revision: int) -> None:
        check_revision(revision)
        self.block_info = revision >= BLOCK_INFO
        self.zones = revision >= TIME_ZONE_IN_DATETIME
        self._columns: dict[bytes, list[bytes]] = {}

    def learn(self, columns: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the (name, type) of the result's columns, as DESCRIBE tells them."""
        for name, kind in columns:
            self._columns.setdefault(name, []).append(kind)

    def lacks_zones(self, block: bytes) -> bool:
        """Whether ``block`` may hold a DateTime column whose zone was cut off."""
        return self.zones and _STRIPPED in block

    def revise(self, block: bytes) -> bytes:
        """One block, with what the revision adds to it."""
        if not block:
            return block
        for name, kinds in self._columns.items():
            if kinds[0].startswith(b"DateTime(") and len(set(kinds)) == 1:
                header = _text(name) + _STRIPPED
                # The header occurs once per column. If data happens to spell it too, a wrong
                # guess would corrupt the block, whereas no zone still gives the right instant.
                if block.count(header) == len(kinds):
                    block = block.replace(header, _text(name) + _text(kinds[0]))
        return _BLOCK_INFO + block if self.block_info else block
