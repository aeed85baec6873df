"""What a file really is, by its first bytes, and how it may be shown.

A picture, sound or film is shown in place only when its bytes say that it is one, of a kind that cannot carry programs.
What claims to be one and is clearly something else (a page, a program, text) is a lie and refused. What nobody
recognises is kept, because clients that encrypt end to end still name the type of the plain file, and is handed out as
a download without a type.
"""

from __future__ import annotations

from typing import Final

OCTETS: Final = "application/octet-stream"
#: Types that browsers show without running anything in them.
INLINE: Final = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "audio/mpeg",
        "audio/mp4",
        "audio/aac",
        "audio/ogg",
        "audio/opus",
        "audio/flac",
        "audio/wav",
        "audio/webm",
    }
)
_ALIASES: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "application/ogg": "audio/ogg",
    "audio/vorbis": "audio/ogg",
    "video/x-m4v": "video/mp4",
    "video/quicktime": "video/mp4",
    "video/3gpp": "video/mp4",
    "audio/3gpp": "audio/mp4",
}
#: Beginnings that leave no doubt, and the type they mean.
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x7fELF", "application/x-executable"),
    (b"MZ\x90\x00", "application/x-msdownload"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\xca\xfe\xba\xbe", "application/java-vm"),
)
_CONTAINERS: Final = {
    "video/mp4": frozenset({"audio/mp4"}),
    "video/webm": frozenset({"audio/webm"}),
    "audio/ogg": frozenset({"audio/opus", "video/ogg"}),
}
#: Bytes of text that are enough to be sure that it is text.
_TEXT: Final = 16


class Lie(Exception):
    """The file is not what it was said to be; the text says what it is."""


def recognise(head: bytes) -> str:
    """The media type that these first bytes (up to 4,096) show, "" where they show none."""
    for beginning, kind in _SIGNATURES:
        if head.startswith(beginning):
            return kind
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(_box(head), 96), 4))}
        if brands & {b"avif", b"avis"}:
            return "image/avif"
        if brands & {b"heic", b"heix", b"mif1", b"msf1"}:
            return "image/heic"
        return "video/mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if is_text(head):
        return "text/plain"
    return ""


def _frames(head: bytes) -> str:
    """MPEG sound without any header: two bytes are little to go by, so this only confirms what was claimed."""
    if len(head) > 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        if head[1] & 0xF6 == 0xF0:
            return "audio/aac"
        if head[1] & 0x06 and head[2] & 0xF0 not in (0x00, 0xF0) and head[2] & 0x0C != 0x0C:
            return "audio/mpeg"
    return ""


def _box(head: bytes) -> int:
    return int.from_bytes(head[:4], "big")


def is_text(head: bytes) -> bool:
    """Whether the bytes are text in UTF-8 (a page, a script, a drawing in XML): bytes that look random never are."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) >= _TEXT:
        # UTF-16 with its mark: browsers of old read pages in it.
        return b"\x00<" in head[:64] or b"<\x00" in head[:64]
    start = head.lstrip()[:64].lower()
    if len(head) < _TEXT and not start.startswith((b"<", b"#!")):
        return False
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) < 4096 or error.start < len(head) - 4:
            return False
        text = head[: error.start].decode()
    return not any(ord(character) < 32 and character not in "\t\n\r\f\x1b" for character in text)


def served_type(claimed: str, head: bytes) -> str:
    """The type that a file is answered with, one of INLINE or OCTETS. `claimed` is the promised type ("" for none);
    raises Lie."""
    claimed = _ALIASES.get(claimed, claimed)
    family = claimed.partition("/")[0]
    if family not in ("image", "video", "audio"):
        return OCTETS
    found = recognise(head) or (_frames(head) if family == "audio" else "")
    if claimed == "image/svg+xml":
        return OCTETS
    if not found:
        return OCTETS
    if claimed == found or claimed in _CONTAINERS.get(found, ()):
        return claimed if claimed in INLINE else OCTETS
    if found.partition("/")[0] == family or (found in _CONTAINERS and family in ("audio", "video")):
        # The wrong kind of picture is still a picture: it is answered as what it is.
        return found if found in INLINE else OCTETS
    raise Lie(f"this is {found}, not {claimed}")
