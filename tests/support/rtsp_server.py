"""A real RTSP server with a moving picture: `/usr/bin/python3 rtsp_server.py USER PASSWORD [udp]` prints its port.

Run by the system's Python, for GStreamer's server comes from Debian (gir1.2-gst-rtsp-server-1.0).
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - the versions are named first

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=15/1"
    " ! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
)


def main() -> None:
    """Serve /pen to who knows user and password, until killed; with `udp` over UDP alone, as some cameras do."""
    user, password, *only = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer(service="0", address="127.0.0.1")
    permissions = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    permissions.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(permissions)
    factory = GstRtspServer.RTSPMediaFactory(launch=PIPELINE, shared=True)
    if only == ["udp"]:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    factory.add_role_from_structure(role())
    server.get_mount_points().add_factory("/pen", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def role() -> Gst.Structure:
    """What a viewer may do."""
    viewer = Gst.Structure.new_empty("viewer")
    for right in ("media.factory.access", "media.factory.construct"):
        viewer.set_value(right, True)
    return viewer


if __name__ == "__main__":
    main()
