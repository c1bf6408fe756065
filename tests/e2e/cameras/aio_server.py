"""aio-rtsp-toolkit's file server as a camera. Arguments: directory, port.

It hands packets from a thread to its loop, and gives up waiting for that after 50 ms: if the packet was
taken at that very moment, it is sent twice. So we let it wait longer; the rest is as its author made it.
"""

import asyncio
import sys

from aio_rtsp_toolkit import server_streaming
from aio_rtsp_toolkit.server import serve

server_streaming.QUEUE_PUT_POLL_INTERVAL = 2.0

asyncio.run(serve(sys.argv[1], "127.0.0.1", int(sys.argv[2])))
