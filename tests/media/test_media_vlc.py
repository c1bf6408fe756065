"""VLC is the strictest common reader of fragmented files: it wants `mdat` right after `moof`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from test_media_files import fragmented, track_of

from khupho.media.boxes import box
from khupho.media.fmp4 import init_segment

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("cvlc") is None, reason="VLC is not installed"),
    pytest.mark.skipif(
        os.geteuid() == 0 and shutil.which("runuser") is None, reason="VLC refuses to run as root"
    ),
]


def packets_through_vlc(data: bytes, packets_of) -> int:
    """How many packets VLC's demuxer hands on to a transport stream."""
    with tempfile.TemporaryDirectory(prefix="khupho-vlc-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        source, sink = directory / "in.mp4", directory / "out.ts"
        source.write_bytes(data)
        source.chmod(0o644)
        as_other = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        chain = f"#std{{access=file,mux=ts,dst={sink}}}"
        command = [*as_other, "cvlc", "-I", "dummy", "--sout", chain, "--play-and-exit"]
        subprocess.run(
            [*command, str(source)],
            timeout=60,
            check=True,
            capture_output=True,
            env={**os.environ, "HOME": name},
        )
        if not sink.exists() or not sink.stat().st_size:
            return 0
        return len(packets_of(sink).packets)


@pytest.mark.parametrize("name", ["h264-b", "h265-b", "aac"])
def test_vlc_plays_a_segment(name: str, clip, packets_of):
    """With facts of the segment after `moov`, as the archive writes them."""
    track = track_of(name, clip(name))
    data = fragmented(track)
    head = len(init_segment(track.format, edit_media_time_90k=track.lead))
    data = data[:head] + box(b"uuid", bytes(16), b"facts of the segment") + data[head:]
    # Its muxer keeps the last few packets for itself, of ffmpeg's own files too.
    assert packets_through_vlc(data, packets_of) >= 0.85 * len(track.packets)
