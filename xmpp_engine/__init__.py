"""The XMPP engine: streams, routing and features, without Django or Channels.

Layers, lowest first: `xml stanza addressing storage config observe` (pure), `runtime transport stream sasl`, `plugin`,
`routing`, `modules` and `admin`, `engine`. Imports point down only. Start reading at `engine.py`, then
`routing/session.py`, `routing/router.py`, `plugin/phases.py` and `modules/carbons.py`.
"""
