"""gst-rtsp-server as a camera. Run by the system's Python, which has `gi`; arguments are one JSON object."""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PARSE_AND_PAY = {
    "h264": "h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1",
    "aac": "aacparse ! rtpmp4gpay name=pay1 pt=97",
    "pcmu": "rtppcmupay name=pay1 pt=0",
    "pcma": "rtppcmapay name=pay1 pt=8",
}


def pipeline(wanted):
    """gst-launch text of a media that plays the file as it is, without coding it anew."""
    text = f'filesrc location="{wanted["file"]}" ! qtdemux name=film '
    text += f"film.video_0 ! queue max-size-time=0 ! {PARSE_AND_PAY[wanted['video']]} "
    if wanted["audio"]:
        text += f"film.audio_0 ! queue max-size-time=0 ! {PARSE_AND_PAY[wanted['audio']]} "
    return f"( {text})"


def sign_in(server, factory, user, password):
    """Only with this name and password, by Digest."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)


def main():
    wanted = json.loads(sys.argv[1])
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(wanted["port"]))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(wanted))
    transports = GstRtsp.RTSPLowerTrans
    factory.set_protocols(transports.UDP if wanted["transport"] == "udp" else transports.TCP)
    if wanted["user"]:
        sign_in(server, factory, wanted["user"], wanted["password"])
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit("the port is taken")
    GLib.MainLoop().run()


main()
