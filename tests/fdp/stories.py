"""A story with a forms service: `forms.story.example`, topics in memory."""

from __future__ import annotations

from typing import Any

from fdp.memory import MemoryForms
from fdp.storage import TopicRecord
from tests.story import MODULES, Client, World
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

SERVICE = "forms.story.example"
TEMPLATE = "fdp/template/story.example/report"
SUBMITTED = "fdp/submitted/story.example/report"
FORMS_MODULES = (*MODULES, *(() if "fdp.engine.Forms" in MODULES else ("fdp.engine.Forms",)))


class FormsWorld(World):
    """A world with topics."""

    def __init__(self, options: dict[str, Any] | None = None, **arguments: Any) -> None:
        self.forms = MemoryForms()
        extras = {"forms": self.forms, **arguments.pop("extras", {})}
        super().__init__(FORMS_MODULES, options=options, extras=extras, **arguments)
        self.forms.stores = self.stores

    async def begin(self, *documents: dict[str, Any], **rules: Any) -> TopicRecord:
        """Start, with one topic `story.example/report`."""
        topic = self.forms.add(SERVICE, "story.example/report", *documents, title="Reports", **rules)
        await self.engine.start()
        await self.settle()
        return topic

    @property
    def service(self) -> Any:
        """The forms service."""
        return self.module("forms").hosted[SERVICE]

    async def online(self, *names: str) -> list[Client]:
        """Fresh clients that are online."""
        clients = [await self.login(name, "r") for name in names]
        for client in clients:
            await client.comes_online()
        return clients


def ask(kind: str, inner: str, id: str = "q") -> str:
    """An iq to the service."""
    return f"<iq type='{kind}' id='{id}' to='{SERVICE}'>{inner}</iq>"


def pubsub(inner: str, space: str = ns.PUBSUB) -> str:
    """A `<pubsub/>`."""
    return f"<pubsub xmlns='{space}'>{inner}</pubsub>"


def values(**fields: str | tuple[str, ...]) -> str:
    """The fields of a form; `__` in a name stands for `#`."""
    found = []
    for var, given in fields.items():
        texts = (given,) if isinstance(given, str) else given
        inner = "".join(f"<value>{text}</value>" for text in texts)
        found.append(f"<field var='{var.replace('__', '#')}'>{inner}</field>")
    return "".join(found)


def submission(id: str = "", node: str = SUBMITTED, **fields: str | tuple[str, ...]) -> str:
    """A request to publish a completed form."""
    form = f"<x xmlns='jabber:x:data' type='submit'>{values(**fields)}</x>"
    attribute = f" id='{id}'" if id else ""
    return ask("set", pubsub(f"<publish node='{node}'><item{attribute}>{form}</item></publish>"))


def subscribe(client: Client, node: str = SUBMITTED) -> str:
    """A request to subscribe."""
    return ask("set", pubsub(f"<subscribe node='{node}' jid='{client.bare}'/>"))


def items(node: str = SUBMITTED, attributes: str = "") -> str:
    """A request for items."""
    return ask("get", pubsub(f"<items node='{node}' {attributes}/>"))


def item_ids(answer: Element) -> list[str]:
    """The ids of the items in an answer or in an event."""
    found: list[str] = []

    def walk(element: Element) -> None:
        if element.name == "item":
            found.append(element.get("id") or "")
        for child in element.elements():
            walk(child)

    walk(answer)
    return found


def field_values(element: Element) -> dict[str, list[str]]:
    """The values of the first form inside."""
    form = _find(element)
    assert form is not None
    return {
        field.get("var") or "": [value.text for value in field.find_all(ns.DATA_FORMS, "value")]
        for field in form.find_all(ns.DATA_FORMS, "field")
    }


def _find(element: Element) -> Element | None:
    if element.ns == ns.DATA_FORMS and element.name == "x":
        return element
    return next((found for child in element.elements() if (found := _find(child)) is not None), None)


def error_of(answer: Element) -> tuple[str, str, str]:
    """(condition, text, publish-subscribe condition) of an error."""
    error = answer.find(ns.CLIENT, "error")
    assert error is not None, "this is no error"
    own = {child.name: child for child in error.elements() if child.ns == ns.STANZA_ERRORS}
    app = next((child.name for child in error.elements() if child.ns == ns.PUBSUB_ERRORS), "")
    return next(name for name in own if name != "text"), own["text"].text if "text" in own else "", app
