"""The engine's modules, in reading order: inside a phase they run in this order (docs/architecture.md)."""

XMPP_MODULES = (
    "xmpp_engine.modules.disco.Disco",
    "xmpp_engine.modules.caps.Caps",
    "xmpp_engine.modules.adhoc.AdHoc",
    "xmpp_engine.modules.legacy_session.LegacySession",
    "xmpp_engine.modules.stream_management.StreamManagementModule",
    "xmpp_engine.modules.client_state.ClientState",
    "xmpp_engine.modules.blocking.Blocking",
    "xmpp_engine.modules.roster.Roster",
    "xmpp_engine.modules.presence.Presence",
    "xmpp_engine.modules.subscription.Subscriptions",
    "archive.engine.Archive",
    "xmpp_engine.modules.carbons.Carbons",
    "xmpp_engine.modules.offline.Offline",
    "xmpp_engine.modules.private.Private",
    "xmpp_engine.modules.vcard.VCard",
    "xmpp_engine.modules.register.Register",
    "xmpp_engine.modules.ping.Ping",
    "xmpp_engine.modules.version.Version",
    "xmpp_engine.modules.time.Time",
    "xmpp_engine.modules.lastactivity.LastActivity",
)
