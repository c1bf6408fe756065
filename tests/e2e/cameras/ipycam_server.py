"""ipycam's own RTSP server as a camera. Arguments: film, port, directory for what its encoder made.

ipycam runs ffmpeg for each session and passes its packets on. We have that ffmpeg write a second copy of
the same access units into a file: the truth. The server itself is as its author made it.
"""

import itertools
import sys
import time

import av
from ipycam.rtsp import NativeRTSPServer

FRAMES_PER_S = 25


class TruthfulServer(NativeRTSPServer):
    """With a second output of each encoder: `truth-0000.h264` and so on."""

    def __init__(self, port, directory):
        super().__init__(port, "127.0.0.1")
        self.directory = directory
        self.numbers = itertools.count()

    def _build_ffmpeg_rtp_cmd_tcp_local(self, stream_info, local_port, rtcp_port=None):
        command = super()._build_ffmpeg_rtp_cmd_tcp_local(stream_info, local_port, rtcp_port)
        at = command.index("-f", command.index("-an"))
        url = command[-1]
        truth = f"{self.directory}/truth-{next(self.numbers):04d}.h264"
        both = f"[f=rtp:payload_type=96]{url}|[f=h264:flush_packets=1]{truth}"
        return [*command[:at], "-map", "0:v", "-f", "tee", both]


def main():
    film, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    server = TruthfulServer(port, directory)
    server.add_stream("live", 640, 360, FRAMES_PER_S, "1M")
    if not server.start():
        sys.exit("the port is taken")
    began_s = time.monotonic()
    shown = 0
    while True:
        with av.open(film) as container:
            for frame in container.decode(video=0):
                time.sleep(max(0.0, began_s + shown / FRAMES_PER_S - time.monotonic()))
                server.stream_frame("live", frame.to_ndarray(format="bgr24"))
                shown += 1


main()
