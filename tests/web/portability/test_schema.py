"""An export holds against the schema of XEP-0227, once its includes are followed."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lxml import etree

from mlink_web.portability import names
from tests.web.portability import kit

#: Section 12 of the specification. Payloads of other namespaces are not looked into: their schemas are not here.
SCHEMA = """
<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' targetNamespace='urn:xmpp:pie:0' xmlns='urn:xmpp:pie:0'
    elementFormDefault='qualified'>
  <xs:element name='server-data'><xs:complexType><xs:sequence>
    <xs:element ref='host' maxOccurs='unbounded'/>
    <xs:any namespace='##other' processContents='lax' minOccurs='0' maxOccurs='unbounded'/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name='host'><xs:complexType><xs:sequence>
    <xs:element ref='user' maxOccurs='unbounded'/>
    <xs:any namespace='##other' processContents='lax' minOccurs='0' maxOccurs='unbounded'/>
  </xs:sequence><xs:attribute name='jid' type='xs:string' use='required'/>
  <xs:anyAttribute namespace='http://www.w3.org/XML/1998/namespace' processContents='lax'/>
  </xs:complexType></xs:element>
  <xs:element name='user'><xs:complexType><xs:sequence>
    <xs:element ref='offline-messages' minOccurs='0' maxOccurs='1'/>
    <xs:any namespace='##other' processContents='lax' minOccurs='0' maxOccurs='unbounded'/>
  </xs:sequence><xs:attribute name='name' type='xs:string' use='required'/>
  <xs:attribute name='password' type='xs:string' use='optional'/>
  <xs:anyAttribute namespace='http://www.w3.org/XML/1998/namespace' processContents='lax'/>
  </xs:complexType></xs:element>
  <xs:element name='offline-messages'><xs:complexType><xs:sequence>
    <xs:any namespace='##other' processContents='lax' minOccurs='0' maxOccurs='unbounded'/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>
"""


def test_the_schema_of_the_specification_holds(database: str, tmp_path: Path) -> None:
    kit.furnished(database)
    path = kit.export(database, tmp_path / "a")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "tree")
    parser = etree.XMLParser(no_network=True, resolve_entities=False)
    document = etree.parse(tmp_path / "tree" / names.MAIN, parser)
    document.xinclude()
    schema = etree.XMLSchema(etree.fromstring(SCHEMA))
    schema.assertValid(document)
    found = document.xpath("//pie:user/@name", namespaces={"pie": names.PIE})
    assert sorted(found) == ["juliet", "romeo"]
    # As a reader that knows no more than the specification finds them.
    spaces = {
        "pie": names.PIE,
        "scram": names.SCRAM,
        "mam": names.ARCHIVE,
        "roster": "jabber:iq:roster",
        "c": "jabber:client",
    }
    romeo = document.xpath("//pie:user[@name='romeo']", namespaces=spaces)[0]
    assert romeo.xpath("scram:scram-credentials/@mechanism", namespaces=spaces) == ["SCRAM-SHA-1", "SCRAM-SHA-256"]
    assert len(romeo.xpath("roster:query/roster:item", namespaces=spaces)) == 2
    assert romeo.xpath("c:presence/@from", namespaces=spaces) == ["paris@elsewhere.example"]
    assert len(romeo.xpath("pie:offline-messages/c:message", namespaces=spaces)) == 2
    stamps = romeo.xpath(".//mam:archive//*[local-name()='delay']/@stamp", namespaces=spaces)
    assert len(stamps) == 5
    assert stamps == sorted(stamps)
