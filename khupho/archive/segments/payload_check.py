"""Whether a fragment's bytes are those that were recorded, and whole samples."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from khupho.archive.segments.stored_segment import StoredFragment
from khupho.media import h264, h265
from khupho.media.boxes import ReadAt
from khupho.media.formats import Codec, TrackFormat, VideoFormat

SAMPLES_INVARIANT, HASH_INVARIANT = 6, 7


class PayloadFault(NamedTuple):
    """What is wrong with a fragment's bytes."""

    invariant: int
    """By its number in `docs/design/archive.md`."""
    what: str


def payload_fault(
    read_at: ReadAt, fragment: StoredFragment, track: TrackFormat
) -> PayloadFault | None:
    """Read a fragment's bytes and look at them; None where all is well."""
    header = fragment.header
    data = read_at(fragment.offset + header.data_offset, header.data_size)
    if len(data) < header.data_size:
        return PayloadFault(SAMPLES_INVARIANT, "the file ends inside the data")
    return hash_fault(fragment, data) or samples_fault(fragment, data, track)


def hash_fault(fragment: StoredFragment, data: bytes) -> PayloadFault | None:
    """Whether the bytes have the hash that was recorded with them."""
    if hashlib.sha256(data).digest() == fragment.payload_sha256:
        return None
    return PayloadFault(HASH_INVARIANT, "the bytes are not those that were recorded")


def samples_fault(fragment: StoredFragment, data: bytes, track: TrackFormat) -> PayloadFault | None:
    """Whether the NAL units fill their samples, and key flags agree with them (video)."""
    header = fragment.header
    if not isinstance(track, VideoFormat):
        if all(header.is_key):
            return None
        return PayloadFault(SAMPLES_INVARIANT, "sound that claims not to be decodable by itself")
    is_h264 = track.codec is Codec.H264
    at = 0
    for number, (size, is_key) in enumerate(zip(header.sizes, header.is_key, strict=True)):
        end = at + size
        has_key = False
        while at + 4 < end:
            length = int.from_bytes(data[at : at + 4], "big")
            first_byte = data[at + 4]
            if is_h264:
                has_key |= first_byte & 0x1F == h264.NAL_IDR
            else:
                has_key |= h265.is_irap(h265.nal_type(first_byte))
            if not length:
                break
            at += 4 + length
        if at != end or not size:
            return PayloadFault(SAMPLES_INVARIANT, f"NAL units don't fill sample {number}")
        if has_key != is_key:
            return PayloadFault(SAMPLES_INVARIANT, f"the key flag of sample {number} is wrong")
    return None
