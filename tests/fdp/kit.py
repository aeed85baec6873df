"""Topics and published forms for tests of the console's pages, made as the product makes them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fdp import services, validation
from fdp.definition import from_json
from fdp.models import Submission, Topic
from mlink_web.conf.models import Domain
from xmpp_engine.api import write

SERVICE = "forms.localhost"
DEFINITION: dict[str, Any] = {
    "title": "MEDEVAC",
    "instructions": ["Say it in this order."],
    "fields": [
        {"var": "site", "type": "text-single", "label": "Location of the site", "required": True},
        {
            "var": "frequency",
            "type": "text-single",
            "label": "Frequency",
            "validate": {"datatype": "xs:decimal", "method": "range", "min": "2", "max": "400"},
        },
        {
            "var": "patients",
            "type": "list-multi",
            "label": "Patients",
            "options": [{"value": "A", "label": "Urgent"}, {"value": "B", "label": "Priority"}],
        },
        {"var": "night", "type": "boolean", "label": "At night"},
        {"var": "code", "type": "text-private", "label": "Code"},
        {"var": "remarks", "type": "text-multi", "label": "Remarks"},
        {"var": "contact", "type": "jid-single", "label": "Contact"},
    ],
    "pages": [
        {
            "label": "First lines",
            "parts": [
                {"kind": "text", "text": "Before the aircraft leaves."},
                {"kind": "section", "label": "Site", "parts": [{"kind": "field", "var": "site"}]},
                {"kind": "field", "var": "frequency"},
            ],
        },
        {"label": "More", "parts": [{"kind": "field", "var": "patients"}, {"kind": "field", "var": "night"}]},
    ],
}
VALUES: dict[str, Sequence[str]] = {
    "site": ["31U DQ 48251 11932"],
    "frequency": ["38.65"],
    "patients": ["A", "B"],
    "night": ["1"],
    "code": ["sesame"],
    "remarks": ["line <one>", "=1+1"],
}
XSLT = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:d="jabber:x:data">
<xsl:template match="/d:x"><h1>Styled</h1>
<p id="site"><xsl:value-of select="d:field[@var='site']/d:value"/></p></xsl:template>
</xsl:stylesheet>"""


def make_topic(name: str = "medevac", definition: dict[str, Any] | None = DEFINITION, **options: Any) -> Topic:
    """A topic on the forms service of localhost."""
    Domain.objects.get_or_create(name="localhost")
    title = options.pop("title", name.upper())
    return services.add_topic(SERVICE, f"example.org/{name}", title, definition, author="admin@localhost", **options)


def publish(topic: Topic, given: Mapping[str, Sequence[str]] = VALUES, **options: Any) -> Submission:
    """A form as the service stores it; `amends` is the submission that it replaces."""
    version = services.newest_version(topic)
    assert version is not None
    definition = from_json(version.definition)
    values = validation.validate(definition, given)
    topic.last_serial += 1
    Topic.objects.filter(pk=topic.pk).update(last_serial=topic.last_serial)
    amended: Submission | None = options.get("amends")
    item = f"item-{topic.pk}-{topic.last_serial}"
    form = validation.stored(
        definition,
        values,
        version=version.name,
        serial=topic.last_serial,
        amends=amended.item_id if amended is not None else "",
    )
    return Submission.objects.create(
        topic=topic,
        version=version,
        serial=topic.last_serial,
        item_id=item,
        publisher=options.get("publisher", "ada@localhost"),
        published=options.get("published", time.time()),
        values={var: list(texts) for var, texts in values.items()},
        xml=write(form),
        amends=amended,
    )
