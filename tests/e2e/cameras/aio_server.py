"""aio-rtsp-toolkit's file server as a camera. Arguments: directory, port."""

import asyncio
import sys

from aio_rtsp_toolkit.server import serve

asyncio.run(serve(sys.argv[1], "127.0.0.1", int(sys.argv[2])))
