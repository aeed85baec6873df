"""XEP-0357, push: the module, what it keeps of registrations (`registrations.py`), and its elements (`elements.py`)."""

from xmpp_engine.modules.push.module import Push, PushOptions

__all__ = ["Push", "PushOptions"]
