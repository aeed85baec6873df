// Namespaces of what the page speaks.

export const CLIENT = "jabber:client";
export const STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas";
export const PING = "urn:xmpp:ping";
export const DISCO_INFO = "http://jabber.org/protocol/disco#info";
export const DISCO_ITEMS = "http://jabber.org/protocol/disco#items";
export const RSM = "http://jabber.org/protocol/rsm";
export const PUBSUB = "http://jabber.org/protocol/pubsub";
export const PUBSUB_ERRORS = "http://jabber.org/protocol/pubsub#errors";
export const PUBSUB_EVENT = "http://jabber.org/protocol/pubsub#event";
export const DATA = "jabber:x:data";
export const VALIDATE = "http://jabber.org/protocol/xdata-validate";
export const LAYOUT = "http://jabber.org/protocol/xdata-layout";
export const MEDIA = "urn:xmpp:media-element";
export const BOB = "urn:xmpp:bob";
export const DELAY = "urn:xmpp:delay";
export const FDP = "urn:xmpp:fdp:0";
export const TEMPLATE = "fdp/template/";
export const SUBMITTED = "fdp/submitted/";
