"""The H.265 VUI (ITU-T H.265 sections E.2.1 to E.2.3), read as far as it can be followed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from khupho.media.bits import BitReader, BitsError
from khupho.media.visual import Display, declared_rate, read_aspect_and_signal

_MAX_SCHEDULES = 32


@dataclass(slots=True)
class Vui:
    """What the recorder wants to know of a VUI."""

    frame_rate: Fraction | None = None
    min_spatial_segmentation: int = 0
    whole: bool = False
    """It could be followed to its end."""


def read_vui(bits: BitReader, display: Display, sub_layers: int) -> Vui:
    """Read a VUI; what stands before an oddity is kept, and `whole` stays false."""
    vui = Vui()
    try:
        _read(bits, display, sub_layers, vui)
        vui.whole = True
    except BitsError:
        # Nothing in a VUI is needed for decoding.
        pass
    return vui


def _read(bits: BitReader, display: Display, sub_layers: int, vui: Vui) -> None:
    read_aspect_and_signal(bits, display)
    bits.skip(3)
    if bits.flag():
        for _ in range(4):
            bits.ue()
    if bits.flag():
        units_in_tick, time_scale = bits.u(32), bits.u(32)
        vui.frame_rate = declared_rate(units_in_tick, time_scale, 1)
        if bits.flag():
            bits.ue()
        if bits.flag():
            _skip_hrd(bits, sub_layers)
    if bits.flag():
        bits.skip(3)
        segmentation = bits.ue()
        vui.min_spatial_segmentation = segmentation if segmentation < 4096 else 0
        for _ in range(4):
            bits.ue()


def _skip_hrd(bits: BitReader, sub_layers: int) -> None:
    nal, vcl = bits.flag(), bits.flag()
    sub_pic = False
    if nal or vcl:
        sub_pic = bits.flag()
        if sub_pic:
            bits.skip(8 + 5 + 1 + 5)
        bits.skip(4 + 4)
        if sub_pic:
            bits.skip(4)
        bits.skip(5 + 5 + 5)
    for _ in range(sub_layers):
        fixed_general = bits.flag()
        fixed_within = fixed_general or bits.flag()
        low_delay = False
        if fixed_within:
            bits.ue()
        else:
            low_delay = bits.flag()
        count = 1 if low_delay else bits.ue() + 1
        if count > _MAX_SCHEDULES:
            raise BitsError(f"{count} schedules in the HRD")
        for _ in range(count * (nal + vcl)):
            for _ in range(4 if sub_pic else 2):
                bits.ue()
            bits.skip(1)
