"""What H.264 and H.265 share: how a picture is to be shown, and the sample entry that says so."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from struct import Struct

from khupho.media.bits import BitReader
from khupho.media.boxes import box
from khupho.media.nal import ParameterSetError

MAX_SIDE_PX = 16_384
"""Level 6.2 of either codec ends at 16,888; a sample entry at 65,535."""

_ENTRY = Struct(">6xH16xHHIIIH32xHh")
_SAMPLE_ASPECT_RATIOS = (
    (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11),
    (80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
_EXTENDED_SAR = 255


@dataclass(slots=True)
class Display:
    """How the VUI wants the picture shown; None is unsaid. Filled while the VUI is read."""

    sample_aspect: tuple[int, int] | None = None
    full_range: bool = False
    colour: tuple[int, int, int] | None = None
    """Primaries, transfer and matrix as in ITU-T H.273."""


def read_aspect_and_signal(bits: BitReader, display: Display) -> None:
    """The VUI's first fields, the same in ITU-T H.264 section E.1.1 and H.265 section E.2.1."""
    if bits.flag():
        code = bits.u(8)
        if code == _EXTENDED_SAR:
            sar = bits.u(16), bits.u(16)
            display.sample_aspect = sar if all(sar) else None
        elif 1 <= code <= len(_SAMPLE_ASPECT_RATIOS):
            display.sample_aspect = _SAMPLE_ASPECT_RATIOS[code - 1]
    if bits.flag():
        bits.skip(1)
    if bits.flag():
        bits.skip(3)
        display.full_range = bits.flag()
        if bits.flag():
            display.colour = bits.u(8), bits.u(8), bits.u(8)
    if bits.flag():
        bits.ue()
        bits.ue()


def declared_rate(units_in_tick: int, time_scale: int, ticks_per_frame: int) -> Fraction | None:
    """Frames per second of the VUI's timing, None where it divides by zero."""
    if not units_in_tick or not time_scale:
        return None
    return Fraction(time_scale, units_in_tick * ticks_per_frame)


def cropped_size(
    coded: tuple[int, int], unit: tuple[int, int], crop: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Width and height after cropping by (left, right, top, bottom) units.

    Cropping that leaves nothing is ignored, as decoders do. Raises `ParameterSetError` where the
    coded size itself is none that can be decoded.
    """
    width, height = coded
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise ParameterSetError(f"the picture is {width} x {height} pixels")
    left, right, top, bottom = crop
    shown = width - unit[0] * (left + right), height - unit[1] * (top + bottom)
    return shown if min(shown) > 0 else coded


def visual_sample_entry(
    kind: bytes, width_px: int, height_px: int, configuration: bytes, display: Display
) -> bytes:
    """A `VisualSampleEntry` (ISO/IEC 14496-12 section 12.1.3) with `pasp` and `colr` if known."""
    parts = [
        _ENTRY.pack(1, width_px, height_px, 0x480000, 0x480000, 0, 1, 24, -1),
        configuration,
    ]
    if display.sample_aspect and display.sample_aspect[0] != display.sample_aspect[1]:
        h, v = display.sample_aspect
        parts.append(box(b"pasp", h.to_bytes(4, "big"), v.to_bytes(4, "big")))
    if display.colour:
        codes = b"".join(code.to_bytes(2, "big") for code in display.colour)
        parts.append(box(b"colr", b"nclx", codes, bytes((display.full_range << 7,))))
    return box(kind, *parts)
