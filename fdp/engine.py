"""XEP-0346: the engine module that gives a domain its forms services. Start at `service.py`.

Each service is a publish-subscribe service of its own domain (`forms.example.org`), made by the module `pubsub`, with a
gate and a publisher of ours. The database of topics comes as `services.extras["forms"]`, a FormStore; an engine without
one has no forms services.
"""

from __future__ import annotations

from typing import Any, Final

from fdp import retention
from fdp.options import FormsOptions, form_service
from fdp.service import FormsService
from fdp.stepping import TEMPLATE_BYTES
from fdp.storage import FormStore
from xmpp_engine.api import Module, Registrar, Xep

#: How often is looked for what expires, and whether the nodes are in step after the database did not answer.
_SWEEP_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 5.0
#: Names of nodes that operators may make by publishing a template.
_NODES: Final = "fdp/(?:template|submitted)/.+"


class Forms(Module):
    """The forms services of one domain."""

    name = "forms"
    requires = ("pubsub",)
    xeps = (
        Xep("0346", "0.2"),
        Xep("0122", "1.0.2"),
        Xep("0141", "1.0"),
        Xep("0221", "1.0"),
    )
    Config = FormsOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._store: FormStore | None = self.services.extras.get("forms")
        #: Services by their domain.
        self.hosted: dict[str, FormsService] = {}
        self._running = False
        self._make_services()

    def setup(self, reg: Registrar) -> None:
        for domain, service in self.hosted.items():
            reg.service(domain, service.pubsub)
        reg.timer(_SWEEP_SECONDS, self.sweep)
        reg.timer(_AGAIN_SECONDS, self.look_again)

    def reconfigured(self, config: FormsOptions) -> None:
        """Services come, change and go; topics of one that goes stay in the database."""
        super().reconfigured(config)
        self._make_services()

    async def started(self) -> None:
        """Bring the nodes into step with the topics."""
        self._running = True
        if self._store is not None:
            self._store.listen(self.wake)
        for service in list(self.hosted.values()):
            await service.start()

    async def stopping(self) -> None:
        """Hear of no more changes."""
        if self._store is not None:
            self._store.forget_listener(self.wake)

    def wake(self) -> None:
        """Topics have changed."""
        for service in self.hosted.values():
            service.wake()

    def look_again(self) -> None:
        """Try once more where the database did not answer, or this node of the cluster did not serve yet."""
        for service in self.hosted.values():
            if service.waits:
                service.wake()

    async def sweep(self) -> None:
        """Now and then: what is kept no longer goes."""
        for service in list(self.hosted.values()):
            if service.pubsub.leads:
                await retention.expire(service)

    def _make_services(self) -> None:
        if self._store is None:
            return
        pubsub = self.needs("pubsub")
        wanted = {f"{name}.{self.host.domain}": values for name, values in self.config.services.items()}
        for domain in self.hosted.keys() - wanted.keys():
            pubsub.drop_service(domain)
            del self.hosted[domain]
        for domain, values in wanted.items():
            options = form_service(values)
            made = pubsub.make_service(
                domain,
                {
                    "name": options.name,
                    "create": "list",
                    "operators": options.operators,
                    # Operators make a topic by publishing its template.
                    "auto_create": True,
                    "name_pattern": _NODES,
                    "items_per_publish": 1,
                    "payload_bytes": max(options.submission_bytes, TEMPLATE_BYTES),
                },
            )
            if domain in self.hosted:
                self.hosted[domain].configure(options)
            else:
                self.hosted[domain] = FormsService(made, self.services, self._store, options)
                if self._running:
                    self.hosted[domain].wake()
