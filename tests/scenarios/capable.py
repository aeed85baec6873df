"""The capabilities of a script's client that wants the events of some nodes (XEP-0115, XEP-0163)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

CAPS = "http://jabber.org/protocol/caps"
DISCO = "http://jabber.org/protocol/disco#info"


def capabilities(who: str, nodes: Iterable[str]) -> tuple[str, str]:
    """The element for a presence and the answer that explains it; `who` makes it differ from everybody else's."""
    features = sorted(f"{node}+notify" for node in nodes)
    text = f"client/pc//{who}<" + "".join(f"{feature}<" for feature in features)
    ver = base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()
    listed = "".join(f"<feature var={quoteattr(feature)}/>" for feature in features)
    query = f"<query xmlns='{DISCO}'><identity category='client' type='pc' name='{who}'/>{listed}</query>"
    return f"<c xmlns='{CAPS}' hash='sha-1' node='urn:example:script' ver='{ver}'/>", query
