"""The cameras that are recorded: each kind of program, codec, transport, sound and sign-in once."""

from __future__ import annotations

from cameras.aio_toolkit import aio_toolkit
from cameras.gstreamer import gstreamer
from cameras.ipycam import ipycam
from cameras.vlc import vlc

KINDS = (
    gstreamer("gst-h264-tcp-digest-aac", "h264-slices", audio="aac", password="bí mật & Co"),
    gstreamer("gst-h264-b-udp-pcmu", "h264-b", transport="udp", audio="pcmu"),
    gstreamer("gst-h265-udp-digest", "h265", transport="udp", password="geheim"),
    gstreamer("gst-h265-b-tcp-pcma", "h265-b", audio="pcma"),
    vlc("vlc-h264-b-udp", "h264-b"),
    vlc("vlc-h265-udp", "h265"),
    aio_toolkit("aio-h264-tcp-aac", "h264-slices", audio="aac"),
    aio_toolkit("aio-h265-tcp", "h265"),
    ipycam("ipycam-h264-tcp", "h265"),
)
