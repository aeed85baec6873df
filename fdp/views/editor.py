"""The editor of a topic's form, and what its script asks while one edits; versions; the test run.

Without its script the editor is a text area with the form as JSON, which is also what the script fills in and sends.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from fdp import filling, services, stylesheets, templates, validation
from fdp.definition import MAX_BYTES, Definition, DefinitionError, from_json, to_json
from fdp.differences import differences
from fdp.fields import FIELD_TYPES
from fdp.forms import VersionForm, pretty, read_definition
from fdp.models import TemplateVersion, Topic
from fdp.render import rows
from fdp.views.parts import get_topic, refuse, topic_page, when
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from xmpp_engine.api import Element, write

#: What a topic without a version begins with.
EMPTY: Final[dict[str, Any]] = {"title": "", "instructions": [], "fields": [], "pages": []}
#: Datatypes (XEP-0122, 5.2.1) that the editor offers; every other can be typed.
DATATYPES: Final = (
    ("xs:string", "Any text"),
    ("xs:integer", "Whole number"),
    ("xs:decimal", "Number"),
    ("xs:double", "Floating-point number"),
    ("xs:date", "Date"),
    ("xs:dateTime", "Date and time"),
    ("xs:time", "Time"),
    ("xs:duration", "Duration"),
    ("xs:anyURI", "Web or other address (URI)"),
    ("xs:boolean", "True or false"),
    ("xs:language", "Language"),
    ("xs:nonNegativeInteger", "Whole number from 0"),
    ("xs:positiveInteger", "Whole number from 1"),
    ("xs:base64Binary", "Base64"),
    ("xs:hexBinary", "Hexadecimal"),
)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The editor. POST makes a new version; a script that asks for JSON gets the place of what is wrong."""
    topic = get_topic(pk)
    newest = services.newest_version(topic)
    if request.method == "POST":
        return _save(request, topic, newest)
    based = _version(topic, request.GET["from"]) if request.GET.get("from", "").isdigit() else newest
    document = based.definition if based else {**EMPTY, "title": topic.title}
    form = VersionForm(initial={"definition": pretty(document), "based_on": newest.number if newest else 0})
    return _editor(request, topic, newest, form)


def _editor(request: HttpRequest, topic: Topic, newest: TemplateVersion | None, form: VersionForm) -> HttpResponse:
    context = {
        "form": form,
        "newest": newest,
        "types": FIELD_TYPES,
        "datatypes": DATATYPES,
        "max_bytes": MAX_BYTES,
    }
    return topic_page(request, topic, "edit", "fdp/edit.html", context, bad=bool(form.errors))


def _save(request: HttpRequest, topic: Topic, newest: TemplateVersion | None) -> HttpResponse:
    form = VersionForm(request.POST)
    wants_json = request.accepts("application/json") and not request.accepts("text/html")
    path = ""
    if form.is_valid():
        data = form.cleaned_data
        try:
            _refuse_stale(data["based_on"], newest)
            if newest is not None and from_json(newest.definition) == data["definition"]:
                raise ValueError(f"Nothing is different from {newest.name}: there is nothing to save.")
            version = services.add_version(
                topic, data["definition"], author=request.user.get_username(), note=data["note"]
            )
        except ValueError as error:
            path = getattr(error, "path", "")
            refuse(form, error)
        else:
            record(request, "saved version of form topic", str(topic), version=version.name)
            messages.success(request, f"Saved as {version.name}. It is filled in from now on.")
            where = reverse("fdp:versions", args=[topic.pk])
            return JsonResponse({"saved": version.name, "where": where}) if wants_json else redirect(where)
    elif form.wrong is not None:
        path = form.wrong.path
    if wants_json:
        sentence = " ".join(text for texts in form.errors.values() for text in texts)
        return JsonResponse({"error": _without_path(sentence, path), "path": path}, status=400)
    return _editor(request, topic, newest, form)


def _refuse_stale(based_on: int | None, newest: TemplateVersion | None) -> None:
    """What somebody else saved meanwhile is not written over unseen."""
    if based_on is not None and newest is not None and based_on < newest.number:
        raise ValueError(
            f"Meanwhile {newest.author or 'somebody'} saved {newest.name}. Open the editor anew in another window and "
            "bring both together."
        )


@require_POST
@administrators_only
def check(request: HttpRequest, pk: int) -> JsonResponse:
    """For the editor's script. `definition` is checked as saving checks it; where it fits, the answer has the form to
    be filled in (`html`), its XML, and what the real check says of what is filled in (`errors` by name of input)."""
    get_topic(pk)
    text = request.POST.get("definition", "")
    try:
        definition = read_definition(text)
    except DefinitionError as error:
        return JsonResponse({"error": _sentence(error.reason), "path": error.path})
    given = filling.entered(definition, request.POST) if "filled" in request.POST else filling.defaults(definition)
    errors = filling.check(definition, given).errors if "filled" in request.POST else {}
    names = {one.var: f"{filling.PREFIX}{number}" for number, one in enumerate(definition.fields)}
    shown = {"title": definition.title, "instructions": definition.instructions}
    shown["pages"] = filling.inputs(definition, given)  # type: ignore[assignment]
    return JsonResponse(
        {
            "html": render_to_string("fdp/_fill.html", {**shown, "is_preview": True}),
            "xml": indented(templates.to_element(definition)),
            "errors": {names.get(var, ""): _sentence(reason) for var, reason in errors.items()},
            "size": len(text.encode()),
        }
    )


@require_safe
@administrators_only
def versions(request: HttpRequest, pk: int) -> HttpResponse:
    """All versions, and what is different between two of them: by default the newest and the one before."""
    topic = get_topic(pk)
    found = list(topic.versions.order_by("-number")[: services.MAX_VERSIONS])
    by_number = {one.number: one for one in found}
    new = by_number.get(_number(request, "to"), found[0] if found else None)
    old = by_number.get(_number(request, "from")) or (by_number.get(new.number - 1) if new else None)
    changes = differences(from_json(old.definition), from_json(new.definition)) if old and new else []
    context = {
        "versions": [{"version": one, "created": when(one.created)} for one in found],
        "old": old,
        "new": new,
        "changes": changes,
    }
    return topic_page(request, topic, "versions", "fdp/versions.html", context)


@require_safe
@administrators_only
def version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """One version: how it looks, its JSON and XML."""
    topic = get_topic(pk)
    shown = _version(topic, str(number))
    definition = from_json(shown.definition)
    context = {
        "version": shown,
        "created": when(shown.created),
        "title": definition.title,
        "instructions": definition.instructions,
        "pages": filling.inputs(definition, filling.defaults(definition)),
        "json": pretty(to_json(definition)),
        "xml": indented(templates.to_element(definition)),
    }
    return topic_page(request, topic, "versions", "fdp/version.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def try_out(request: HttpRequest, pk: int) -> HttpResponse:
    """The test run: fill in the form and see what the service would say and readers would see. Nothing is published."""
    topic = get_topic(pk)
    newest = services.newest_version(topic)
    if newest is None:
        messages.error(request, "The topic has no form yet: make one first.")
        return redirect("fdp:edit", pk)
    definition = from_json(newest.definition)
    given, errors, result = filling.defaults(definition), {}, None
    if request.method == "POST":
        filled = filling.check(definition, filling.entered(definition, request.POST))
        given, errors = filled.given, filled.errors
        result = None if errors else _result(topic, newest, definition, filled.kept)
    context = {
        "version": newest,
        "title": definition.title,
        "instructions": definition.instructions,
        "pages": filling.inputs(definition, given, {var: _sentence(reason) for var, reason in errors.items()}),
        "errors": errors,
        "first_error": _refusal_text(definition, given) if errors else "",
        "result": result,
    }
    return topic_page(request, topic, "try", "fdp/try.html", context)


def _result(topic: Topic, newest: TemplateVersion, definition: Definition, kept: Any) -> dict[str, Any]:
    """What would be published, and how it would look."""
    element = validation.stored(definition, kept, version=newest.name, serial=topic.last_serial + 1)
    xml = write(element)
    html, trouble = "", ""
    if topic.xslt:
        try:
            html = stylesheets.transform(topic.xslt, xml)
        except stylesheets.StylesheetError as error:
            trouble = str(error)
    return {"xml": indented(element), "pages": rows(definition, kept), "by_stylesheet": bool(html), "trouble": trouble}


def _refusal_text(definition: Definition, given: Any) -> str:
    """The words in which the service would refuse this."""
    try:
        validation.validate(definition, given)
    except validation.WrongField as error:
        return str(error)
    return ""


def _version(topic: Topic, number: str) -> TemplateVersion:
    found = topic.versions.filter(number=int(number)).first()
    if found is None:
        raise Http404
    return found


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _sentence(reason: str) -> str:
    text = reason[:1].upper() + reason[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _without_path(sentence: str, path: str) -> str:
    return _sentence(sentence.removeprefix(f"{path}: ")) if path else sentence


def indented(element: Element) -> str:
    """XML for people to read."""
    from lxml import etree

    tree = etree.fromstring(write(element), etree.XMLParser(resolve_entities=False, remove_blank_text=False))
    etree.indent(tree)
    return str(etree.tostring(tree, encoding="unicode"))
