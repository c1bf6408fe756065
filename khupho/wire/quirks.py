"""What real cameras do wrong on the wire, and the named policy for each.

A row is a case seen in the wild; `reference` names the public issue or source that tells of it (R =
scottlamb/retina, M = scottlamb/moonfire-nvr, G = bluenviron/gortsplib, X = bluenviron/mediamtx, g2 =
AlexxIT/go2rtc). Each row has a test marked `quirk(number)`; `docs/reference/quirks.md` is made from here.
"""

from __future__ import annotations

from typing import NamedTuple


class Quirk(NamedTuple):
    """One oddity and what we do about it."""

    number: int
    symptom: str
    policy: str
    where: str
    """Module below `khupho` that carries the policy out."""
    reference: str


_SDP, _URL, _CLIENT = "wire.rtsp.sdp", "wire.rtsp.url", "wire.rtsp.client"
_TRACKS, _MESSAGE, _AUTH = "wire.rtsp.tracks", "wire.rtsp.message", "wire.rtsp.auth"
_VIDEO, _READER, _LOSS = "wire.rtp.video", "wire.rtp.interleaved", "wire.rtp.loss"
_TIMELINE, _REPORTS, _SESSION = "wire.rtp.timeline", "wire.rtp.reports", "recorder.session"

QUIRKS: tuple[Quirk, ...] = tuple(
    Quirk(*row)
    for row in (
        (1, "no parameter sets in the SDP", "wait for them in band", _TRACKS, "R#42"),
        (2, "parameter sets in Annex B, cut, or with bytes behind", "trim or ignore; in band wins",
         _TRACKS, "R#42 #68 #102"),
        (3, "H.265 SDP lacks one of VPS, SPS, PPS", "as if there were none", _TRACKS, "g2 PR1588"),
        (4, "parameter sets change or flap in mid-stream",
         "a new segment only if the format really differs", _VIDEO, "M#217"),
        (5, "odd H.265 parameter sets", "read what is needed; the rest is never fatal",
         "media.h265_sps", "R#112"),
        (6, "Content-Base without scheme, doubled scheme, bare IPv6", "mend", _URL, "M#356"),
        (7, "absolute control, control with query or leading slash",
         "append, then join as RFC 1808 says", _URL, "R#9, g2#1236"),
        (8, "blanks behind rtpmap, CSeq, SSRC; CSeq of another request",
         "strip; forgive where one answer is awaited", _CLIENT, "M#213, R#77 #133"),
        (9, "RTP-Info missing or garbled", "not needed", _CLIENT, "R#10 #117"),
        (10, "RTP-Info's sequence number is false", "not used", _CLIENT, "R v0.4.6"),
        (11, "SDP without o=, v=, s=, rtpmap; broken c=; unknown m=",
         "read what is there; parameters tell the codec", _SDP, "R#52, g2#679"),
        (12, "fmtp absent, empty, broken in two, on another track, or with a number of none",
         "give it to the track it names, or stands in", _SDP, "R v0.4.4, G#658"),
        (13, "DESCRIBE without Content-Type", "not needed", _CLIENT, "R v0.4.7"),
        (14, "other interleaved channels than asked for, or one alone", "the answer counts",
         _CLIENT, "X#19"),
        (15, "session id changes between SETUPs", "the first counts", _CLIENT, "R v0.4.6"),
        (16, "status line without reason; blank header lines; a body longer or shorter than announced",
         "forgive; take what comes within seconds", _MESSAGE, "G PR1050"),
        (17, "refuses requests without User-Agent", "always send one", _CLIENT, "g2#235"),
        (18, "wants DESCRIBE on each connection", "always ask", _CLIENT, "G client.go"),
        (19, "Digest SHA-256 alone, several challenges, no qop, a nonce for each request; the "
             "connection closed with the 401",
         "RFC 7616: the strongest known; an accepted password stays right; "
             "answered once on another connection", _AUTH,
         "g2 PR2344, R#25 #62, G#1074"),
        (20, "account is locked after wrong passwords; nonces go stale",
         "a refused password waits minutes; a stale nonce is answered at once", _AUTH, "RFC 7616"),
        (21, "keep-alive by an unknown method drops the connection; 454 of a living session",
         "only advertised methods; a refused one is replaced; media decides", _CLIENT, "X#1066"),
        (22, "OPTIONS does not keep a session alive", "GET_PARAMETER first where advertised",
         _CLIENT, "g2 PR2409"),
        (23, "keep-alive is never answered", "media is the sign of life", _CLIENT, "G client.go"),
        (24, "session timeout below 30 s; wants receiver reports",
         "half the timeout; a report every 5 s", _CLIENT, "X#1066"),
        (25, "media before the answer to PLAY", "keep for the reader", _MESSAGE, "R PR46"),
        (26, "data on unknown channels or of an old session", "ignore; TEARDOWN always", _READER,
         "R#17, M#184"),
        (27, "garbage between interleaved frames", "find the next frame of a known channel",
         _READER, "G PR653, M#302"),
        (28, "packets lost over TCP too", "drop up to the next key frame, say how many", _LOSS,
         "R#119"),
        (29, "line ends before data", "pass over", _READER, "R v0.3.8"),
        (30, "wrong or changing SSRC", "take the one that persists", _READER, "R v0.4.6"),
        (31, "an unknown payload type shares the sequence", "drop it", _READER, "R v0.3.1"),
        (32, "UDP packets of 10,000 bytes", "64 KiB buffer", "recorder.datagrams", "g2 conn.go"),
        (33, "UDP ends with its TCP connection; TEARDOWN answered by 500",
         "keep the connection; any answer will do", _CLIENT, "R teardown.rs"),
        (34, "timestamp jumps for one frame", "restamp; three on the new line are a new time line",
         _TIMELINE, "X PR6255"),
        (35, "timestamps begin at 0 on reconnect", "each session has its own line", _TIMELINE,
         "g2 PR1943"),
        (36, "timestamps jump back by seconds", "a new time line", _TIMELINE, "raptor#43"),
        (37, "the camera's clock steps", "our own arrival anchors, the camera's is only measured",
         "archive.segments.anchor", "M#36"),
        (38, "declared frame rate is false", "RTP time gives durations", "archive.segments.stream_writer",
         "g2#1974"),
        (39, "marker missing", "a new timestamp ends the access unit", _VIDEO, "X#3945"),
        (40, "marker on parameter sets, or on every slice", "markers are not trusted", _VIDEO,
         "R#13, M#352"),
        (41, "parameter sets with the previous frame's timestamp",
         "they belong to the next access unit", _VIDEO, "R#13"),
        (42, "B-frames", "decode times from presentation order", "media.reorder", "R#61"),
        (43, "several NAL units in one packet by start codes", "split", _VIDEO, "R#108"),
        (44, "FU with start and end, type change inside, empty fragments",
         "take what is whole, count the rest", _VIDEO, "G#649, M#344"),
        (45, "H.265 AP, DONL, PACI, TRAIL type 0", "RFC 7798", _VIDEO, "R#123"),
        (46, "first frame is no key frame; minutes without one",
         "wait 10 s, then keep; the watchdog counts packets", _LOSS, "crumbvms#114"),
        (47, "AAC in ADTS, or without config; G.723.1",
         "strip; AAC-LC is assumed; a track that cannot be kept is left out", _TRACKS, "g2#1328"),
        (48, "sound marked as back channel", "taken only if there is no other", _SDP, "X#5074"),
        (49, "461, 453, redirects", "the other transport, a slow retry, the same device only",
         _CLIENT, "unifi-cam-proxy#340"),
        (50, "answers everything and sends nothing", "10 s without media end the session",
         _SESSION, "reolinkproxy#24"),
        (51, "an abrupt end takes the camera offline", "TEARDOWN on every end", _CLIENT,
         "g2#1912"),
        (52, "malformed sender reports", "ignore", _REPORTS, "X#5355"),
    )
)  # fmt: skip


def reference_page() -> str:
    """`docs/reference/quirks.md`, whole."""
    lines = [
        "# What cameras do wrong, and what we do about it",
        "",
        "Made from `khupho/wire/quirks.py`; a test holds the two together, and another that each row has"
        " a test.",
        "R = scottlamb/retina, M = scottlamb/moonfire-nvr, G = bluenviron/gortsplib,"
        " X = bluenviron/mediamtx, g2 = AlexxIT/go2rtc.",
        "",
        "| # | symptom | policy | where | told by |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {q.number} | {q.symptom} | {q.policy} | `{q.where}` | {q.reference} |" for q in QUIRKS
    ]
    return "\n".join(lines) + "\n"
