"""Forms: discovered, filled in, published (XEP-0346). A Django app, and a module of the engine on top of its
publish-subscribe services.

Read `definition.py` (what a form is), `validation.py` (what a filled one must fulfil), `services.py` (the only writers)
and `engine.py` (what clients see), in this order.
"""
