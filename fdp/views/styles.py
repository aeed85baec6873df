"""The stylesheets of a topic, with a preview of what they make of a form."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import escape
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_http_methods, require_POST

from fdp import services, stylesheets, validation
from fdp.definition import from_json
from fdp.forms import StylesheetForm
from fdp.models import TemplateVersion, Topic
from fdp.render import Sheet, plain_html, sheet_of
from fdp.specimen import specimen
from fdp.views.parts import get_topic, refuse, topic_page, when
from mlink_web import security
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from xmpp_engine.api import write

#: Published forms that the preview offers.
RECENT = 10


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def styles(request: HttpRequest, pk: int) -> HttpResponse:
    """XSLT and CSS; POST stores them."""
    topic = get_topic(pk)
    form = StylesheetForm(request.POST or None, initial={"xslt": topic.xslt, "css": topic.css})
    if form.is_valid():
        try:
            services.change_topic(topic, **form.cleaned_data)
        except ValueError as error:
            refuse(form, error)
        else:
            record(request, "changed stylesheets of form topic", str(topic))
            messages.success(request, "The stylesheets are saved.")
            return redirect("fdp:styles", pk)
    recent = [
        {"pk": one.pk, "serial": one.serial, "published": when(one.published), "publisher": one.publisher}
        for one in topic.submissions.order_by("-serial")[:RECENT]
    ]
    context = {
        "form": form,
        "recent": recent,
        "has_version": services.newest_version(topic) is not None,
        "sample": request.POST.get("sample", ""),
        "starter": STARTER,
    }
    response = topic_page(request, topic, "styles", "fdp/styles.html", context, bad=bool(form.errors))
    response.headers[security.HEADER] = security.policy(frame_src="'self'")
    return response


@require_POST
@xframe_options_sameorigin
@administrators_only
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The frame: what the posted stylesheets make of a form, or why they cannot be used. Nothing is stored."""
    topic = get_topic(pk)
    css = request.POST.get("css", "")
    try:
        stylesheets.check_css(css)
    except stylesheets.StylesheetError as error:
        return framed_answer(_trouble("The CSS", error), "", topic.title)
    sheet = _sample(topic, request.POST.get("sample", ""))
    xslt = request.POST.get("xslt", "")
    if sheet is None:
        return framed_answer("<p>The topic has no form yet.</p>", "", topic.title)
    try:
        html = stylesheets.transform(xslt, sheet.xml) if xslt.strip() else plain_html(sheet)
    except stylesheets.StylesheetError as error:
        return framed_answer(_trouble("The XSLT", error), "", topic.title)
    return framed_answer(html, css, topic.title)


def _sample(topic: Topic, chosen: str) -> Sheet | None:
    """The chosen published form, else a made-up one; None where the topic has no form."""
    if chosen.isascii() and chosen.isdigit() and len(chosen) < 19:
        published = topic.submissions.select_related("topic", "version", "amends").filter(pk=int(chosen)).first()
        if published is not None:
            return sheet_of(published)
    newest = services.newest_version(topic)
    return made_up(topic, newest) if newest is not None else None


def made_up(topic: Topic, newest: TemplateVersion) -> Sheet:
    """A form with made-up values, as its topic's node would carry it."""
    definition = from_json(newest.definition)
    values = specimen(definition)
    stored = validation.stored(definition, values, version=newest.name, serial=1)
    return Sheet(
        pk=0,
        title=definition.title or topic.title,
        topic=topic.title,
        suffix=topic.suffix,
        service=topic.service,
        serial=1,
        version=newest.name,
        item_id="sample",
        publisher="name@example.org",
        published=timezone.now(),
        definition=definition,
        values=values,
        xml=write(stored),
    )


def _trouble(what: str, error: stylesheets.StylesheetError) -> str:
    return f"<p><strong>{what} cannot be used.</strong></p><p>{escape(str(error))}</p>"


def framed_answer(html: str, css: str, title: str) -> HttpResponse:
    """The document of a frame that can do and load nothing, with the policy that says so."""
    return as_frame(HttpResponse(stylesheets.framed(html, css, title)))


def as_frame(response: HttpResponse) -> HttpResponse:
    """Give an answer the policy of frames."""
    response.headers[security.HEADER] = stylesheets.POLICY
    return response


#: What the page offers to begin with.
STARTER = """<xsl:stylesheet version="1.0"
    xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:d="jabber:x:data" exclude-result-prefixes="d">
  <xsl:template match="/d:x">
    <h1><xsl:value-of select="d:title"/></h1>
    <table>
      <xsl:for-each select="d:field[not(@type='hidden')]">
        <tr>
          <th scope="row"><xsl:value-of select="@label"/></th>
          <td><xsl:for-each select="d:value"><div><xsl:value-of select="."/></div></xsl:for-each></td>
        </tr>
      </xsl:for-each>
    </table>
  </xsl:template>
</xsl:stylesheet>
"""
