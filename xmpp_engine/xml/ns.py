"""XML namespaces by the document that defines them. Names are upper case, values are interned strings."""

from typing import Final

# RFC 6120, RFC 6121
STREAM: Final = "http://etherx.jabber.org/streams"
CLIENT: Final = "jabber:client"
SERVER: Final = "jabber:server"
TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND: Final = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION: Final = "urn:ietf:params:xml:ns:xmpp-session"
STREAM_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
ROSTER: Final = "jabber:iq:roster"
ROSTER_VERSIONING: Final = "urn:xmpp:features:rosterver"
PRE_APPROVAL: Final = "urn:xmpp:features:pre-approval"
# RFC 7395
FRAMING: Final = "urn:ietf:params:xml:ns:xmpp-framing"

DATA_FORMS: Final = "jabber:x:data"  # XEP-0004
LAST: Final = "jabber:iq:last"  # XEP-0012
DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"  # XEP-0030
DISCO_ITEMS: Final = "http://jabber.org/protocol/disco#items"
PRIVATE: Final = "jabber:iq:private"  # XEP-0049
COMMANDS: Final = "http://jabber.org/protocol/commands"  # XEP-0050
VCARD: Final = "vcard-temp"  # XEP-0054
RSM: Final = "http://jabber.org/protocol/rsm"  # XEP-0059
REGISTER: Final = "jabber:iq:register"  # XEP-0077
REGISTER_FEATURE: Final = "http://jabber.org/features/iq-register"
CHAT_STATES: Final = "http://jabber.org/protocol/chatstates"  # XEP-0085
VERSION: Final = "jabber:iq:version"  # XEP-0092
COMPONENT_ACCEPT: Final = "jabber:component:accept"  # XEP-0114
CAPS: Final = "http://jabber.org/protocol/caps"  # XEP-0115
HTTP_BIND: Final = "http://jabber.org/protocol/httpbind"  # XEP-0124
XBOSH: Final = "urn:xmpp:xbosh"  # XEP-0206
CONTACT_INFO: Final = "http://jabber.org/network/serverinfo"  # XEP-0157
OFFLINE: Final = "msgoffline"  # XEP-0160
RECEIPTS: Final = "urn:xmpp:receipts"  # XEP-0184
BLOCKING: Final = "urn:xmpp:blocking"  # XEP-0191
BLOCKING_ERRORS: Final = "urn:xmpp:blocking:errors"
SM: Final = "urn:xmpp:sm:3"  # XEP-0198
PING: Final = "urn:xmpp:ping"  # XEP-0199
TIME: Final = "urn:xmpp:time"  # XEP-0202
DELAY: Final = "urn:xmpp:delay"  # XEP-0203
CARBONS: Final = "urn:xmpp:carbons:2"  # XEP-0280
CARBONS_RULES: Final = "urn:xmpp:carbons:rules:0"
FORWARD: Final = "urn:xmpp:forward:0"  # XEP-0297
MAM: Final = "urn:xmpp:mam:2"  # XEP-0313
MAM_EXTENDED: Final = "urn:xmpp:mam:2#extended"
CHAT_MARKERS: Final = "urn:xmpp:chat-markers:0"  # XEP-0333
HINTS: Final = "urn:xmpp:hints"  # XEP-0334
CSI: Final = "urn:xmpp:csi:0"  # XEP-0352
STANZA_ID: Final = "urn:xmpp:sid:0"  # XEP-0359
FULLTEXT: Final = "urn:xmpp:fulltext:0"  # XEP-0431
CHANNEL_BINDING: Final = "urn:xmpp:sasl-cb:0"  # XEP-0440
LIMITS: Final = "urn:xmpp:stream-limits:0"  # XEP-0478
MUC: Final = "http://jabber.org/protocol/muc"  # XEP-0045
MUC_USER: Final = "http://jabber.org/protocol/muc#user"
