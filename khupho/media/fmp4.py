"""Fragmented MP4 as the archive keeps it: the one place to import it from."""

from khupho.media.fragment_reader import FragmentHeader, parse_fragment, read_fragment
from khupho.media.fragments import PRFT_BYTES, TRACK_ID, Keys, fragment_header
from khupho.media.init_segment import MAX_INIT_BYTES, InitSegment, init_segment, parse_init
from khupho.media.random_access import MFRO_BYTES, RandomAccess, mfra_box, mfra_size, parse_mfra

__all__ = [
    "MAX_INIT_BYTES",
    "MFRO_BYTES",
    "PRFT_BYTES",
    "TRACK_ID",
    "FragmentHeader",
    "InitSegment",
    "Keys",
    "RandomAccess",
    "fragment_header",
    "init_segment",
    "mfra_box",
    "mfra_size",
    "parse_fragment",
    "parse_init",
    "parse_mfra",
    "read_fragment",
]
