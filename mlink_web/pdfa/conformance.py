"""What makes an archive of a PDF file (ISO 19005-2 and -3): metadata (XMP) that agree with the file's own, the meaning
of its colours (sRGB), attachments with their relation to the whole, an identifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

MAX_ATTACHMENTS: Final = 50
RELATIONS: Final = ("Source", "Data", "Alternative", "Supplement", "Unspecified")


@dataclass(frozen=True)
class Attachment:
    """A file inside the file."""

    name: str
    content: bytes | Path
    mime: str
    relationship: str
    description: str


@dataclass(frozen=True)
class About:
    """What the metadata say."""

    title: str
    lang: str
    author: str
    subject: str
    keywords: tuple[str, ...]
    created: datetime


@lru_cache(maxsize=1)
def srgb() -> bytes:
    """The colour profile, always the same: its date is not that of the day."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # ICC.1, 7.2: date and time at 24, six numbers of 16 bits; the identifier at 84 may be 0, which is "not calculated".
    profile[24:36] = b"".join(one.to_bytes(2, "big") for one in (2000, 1, 1, 0, 0, 0))
    profile[84:100] = bytes(16)
    return bytes(profile)


def complete(drawn: Path, target: Path, about: About, attachments: list[Attachment]) -> None:
    """Write the drawn file to `target` as PDF/A-3b when something is attached, else as PDF/A-2b."""
    import pikepdf
    from pikepdf import Array, AttachedFileSpec, Dictionary, Name

    when = about.created.astimezone(UTC).replace(microsecond=0)
    with pikepdf.open(drawn) as file:
        for name in list(file.docinfo.keys()):
            del file.docinfo[name]
        with file.open_metadata(set_pikepdf_as_editor=False, update_docinfo=True) as meta:
            meta["dc:title"] = about.title
            if about.author:
                meta["dc:creator"] = [about.author]
            if about.subject:
                meta["dc:description"] = about.subject
            if about.keywords:
                meta["pdf:Keywords"] = ", ".join(about.keywords)
            meta["dc:language"] = {about.lang}
            meta["xmp:CreatorTool"] = "mlink"
            meta["pdf:Producer"] = "mlink"
            meta["xmp:CreateDate"] = meta["xmp:ModifyDate"] = meta["xmp:MetadataDate"] = when.isoformat()
            meta["pdfaid:part"] = "3" if attachments else "2"
            meta["pdfaid:conformance"] = "B"
        intent = Dictionary(
            Type=Name.OutputIntent,
            S=Name.GTS_PDFA1,
            OutputConditionIdentifier="sRGB",
            Info="sRGB IEC61966-2.1",
            DestOutputProfile=file.make_stream(srgb(), N=3),
        )
        file.Root.OutputIntents = Array([file.make_indirect(intent)])
        file.Root.Lang = about.lang
        file.Root.ViewerPreferences = Dictionary(DisplayDocTitle=True)
        stamp = f"D:{when:%Y%m%d%H%M%S}Z"
        for one in attachments:
            file.attachments[one.name] = AttachedFileSpec(
                file,
                one.content if isinstance(one.content, bytes) else one.content.read_bytes(),
                filename=one.name,
                mime_type=one.mime,
                relationship=Name(f"/{one.relationship}"),
                description=one.description,
                creation_date=stamp,
                mod_date=stamp,
            )
        if attachments:
            file.Root.AF = Array([file.attachments[one.name].obj for one in attachments])
        # The identifier is made of the content alone: who draws the same again gets the same file.
        if "/ID" in file.trailer:
            del file.trailer["/ID"]
        file.save(
            target,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            compress_streams=True,
            deterministic_id=True,
        )
