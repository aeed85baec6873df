"""Topics: list, add, settings, remove; import and export of them; the samples."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from fdp import domains, rules, sample_topics, services, transfer
from fdp.forms import RULE_LISTS, ImportForm, NewTopicForm, RulesForms, TopicForm, in_words
from fdp.models import Topic
from fdp.views.parts import get_topic, refuse, topic_page, when
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.confirming import RemoveForm

PAGE_SIZE = 50


@require_safe
@administrators_only
def topics(request: HttpRequest) -> HttpResponse:
    """The list, by pages."""
    names = domains.service_names()
    asked = {name: request.GET.get(name, "").strip()[:200] for name in ("q", "service", "state")}
    found = (
        services.topics()
        .order_by("title", "service", "suffix")
        .annotate(count=Count("submissions", distinct=True), latest=Max("submissions__published"))
    )
    if asked["q"]:
        words = asked["q"]
        found = found.filter(Q(title__icontains=words) | Q(suffix__icontains=words) | Q(description__icontains=words))
    if asked["service"]:
        found = found.filter(service=asked["service"])
    if asked["state"] in ("on", "off"):
        found = found.filter(enabled=asked["state"] == "on")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [
        {"topic": topic, "version": services.newest_version(topic), "latest": when(topic.latest)}
        for topic in page.object_list
    ]
    present = set(services.topics().values_list("suffix", flat=True))
    context = {
        "section": "forms",
        "part": "topics",
        "page": page,
        "rows": rows,
        "asked": asked,
        "query": urlencode({name: value for name, value in asked.items() if value}),
        "services": names,
        "samples": [
            name for name in sample_topics.sample_names() if not any(one.endswith(f"/{name}") for one in present)
        ],
    }
    return render(request, "fdp/topics.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def add_topic(request: HttpRequest) -> HttpResponse:
    """The form for a new topic; its form is made in the editor afterwards."""
    names = domains.service_names()
    if not names:
        messages.error(request, "There is no forms service: add one first.")
        return redirect("fdp:services")
    starts = [(name, f"The sample “{name}”") for name in sample_topics.sample_names()]
    form = NewTopicForm(names, starts, request.POST or None, initial={"service": request.GET.get("service", names[0])})
    if form.is_valid():
        data = form.cleaned_data
        start = sample_topics.sample(data["start"])["topics"][0] if data["start"] else None
        options = {name: start[name] for name in ("xslt", "css") if start and name in start}
        try:
            topic = services.add_topic(
                data["service"],
                data["suffix"],
                data["title"],
                start["versions"][-1]["definition"] if start else None,
                author=request.user.get_username(),
                note=f"From the sample {data['start']}" if start else "",
                description=data["description"],
                **options,
            )
        except ValueError as error:
            refuse(form, error)
        else:
            record(request, "added form topic", str(topic))
            messages.success(request, f"The topic {topic.title} is there. Now make its form.")
            return redirect("fdp:edit", topic.pk)
    context = {
        "section": "forms",
        "part": "topics",
        "title": "Add a topic",
        "action": "Add the topic",
        "back": reverse("fdp:topics"),
        "form": form,
    }
    return render(request, "fdp/form.html", context, status=400 if form.errors else 200)


@require_safe
@administrators_only
def topic(request: HttpRequest, pk: int) -> HttpResponse:
    """One topic at a glance."""
    shown = get_topic(pk)
    version = services.newest_version(shown)
    published = shown.submissions.aggregate(count=Count("pk"), latest=Max("published"))
    context = {
        "version": version,
        "version_created": when(version.created) if version else None,
        "version_count": shown.versions.count(),
        "field_count": sum(one["type"] != "fixed" for one in version.definition["fields"]) if version else 0,
        "count": published["count"],
        "latest": when(published["latest"]),
        "created": when(shown.created),
        "rules": [(heading, in_words(getattr(shown, name))) for name, heading, _ in RULE_LISTS],
        "served": shown.service in domains.service_names(),
    }
    return topic_page(request, shown, "overview", "fdp/topic.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    """Title, description, whether it is on, how long forms are kept."""
    shown = get_topic(pk)
    names = ("title", "description", "enabled", "retention_days")
    form = TopicForm(request.POST or None, initial={name: getattr(shown, name) for name in names})
    if form.is_valid():
        try:
            services.change_topic(shown, **form.cleaned_data)
        except ValueError as error:
            refuse(form, error)
        else:
            record(request, "changed form topic", str(shown), **form.cleaned_data)
            messages.success(request, "The topic is saved.")
            return redirect("fdp:topic", pk)
    return topic_page(request, shown, "settings", "fdp/settings.html", {"form": form}, bad=bool(form.errors))


@require_POST
@administrators_only
def enable(request: HttpRequest, pk: int) -> HttpResponse:
    """Switch the topic on or off."""
    shown = get_topic(pk)
    on = request.POST.get("enabled") == "1"
    services.change_topic(shown, enabled=on)
    record(request, "enabled form topic" if on else "disabled form topic", str(shown))
    messages.success(request, f"{shown.title} is {'on' if on else 'off'}.")
    return redirect("fdp:topic", pk)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def rule_lists(request: HttpRequest, pk: int) -> HttpResponse:
    """Who may publish, read and open the form."""
    shown = get_topic(pk)
    forms = RulesForms(shown, request.POST or None)
    bad = request.method == "POST"
    refusal = ""
    if bad and forms.is_valid():
        values = forms.values()
        try:
            services.change_topic(shown, **values)
        except ValueError as error:
            refusal = str(error)
        else:
            written = {name: rules.shown(given) for name, given in values.items()}
            record(request, "changed rules of form topic", str(shown), **written)
            messages.success(request, "The rules are saved and in force.")
            return redirect("fdp:rules", pk)
    context = {"lists": forms.lists, "refusal": refusal, "bad": bad}
    return topic_page(request, shown, "rules", "fdp/rules.html", context, bad=bad)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the name, then remove the topic; what was published stays unless that is to go as well."""
    shown = get_topic(pk)
    form = RemoveForm(shown.suffix, request.POST or None)
    erase = request.POST.get("erase") == "1"
    if form.is_valid():
        try:
            services.remove_topic(shown, erase=erase)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "removed form topic", str(shown), erased=erase)
            kept = "its published forms are deleted" if erase else "its published forms are kept"
            messages.success(request, f"{shown.title} is removed; {kept}.")
            return redirect("fdp:topics")
    context = {"form": form, "count": shown.submissions.count(), "erase": erase}
    return topic_page(request, shown, "", "fdp/remove.html", context, bad=bool(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def import_topics(request: HttpRequest) -> HttpResponse:
    """A file with topics."""
    form = ImportForm(domains.service_names(), request.POST or None, request.FILES or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            if data["file"].size > transfer.MAX_BYTES:
                raise ValueError(f"An import has at most {transfer.MAX_BYTES // 1024 // 1024} MiB.")
            document = transfer.loads(data["file"].read())
            author = request.user.get_username()
            made = transfer.import_topics(document, data["service"], replace=data["replace"], author=author)
        except ValueError as error:
            record(request, "import of form topics failed", data["service"], why=error)
            form.add_error("file", str(error))
        else:
            record(request, "imported form topics", ", ".join(map(str, made)))
            messages.success(request, f"Imported: {', '.join(one.title for one in made)}.")
            return redirect("fdp:topics")
    context = {"section": "forms", "part": "import", "form": form, "count": services.topics().count()}
    return render(request, "fdp/import.html", context, status=400 if form.errors else 200)


@require_safe
@administrators_only
def export_topics(request: HttpRequest) -> HttpResponse:
    """The chosen topics (`topic`), or all, as a file."""
    chosen = [int(text) for text in request.GET.getlist("topic")[: services.MAX_TOPICS] if text.isdigit()]
    found = services.topics().filter(pk__in=chosen) if chosen else services.topics()
    made = list(found)
    record(request, "exported form topics", ", ".join(map(str, made)) or "none")
    response = HttpResponse(transfer.dumps(transfer.export_topics(made)), content_type="application/json")
    response["Content-Disposition"] = 'attachment; filename="topics.json"'
    return response


@require_POST
@administrators_only
def samples(request: HttpRequest) -> HttpResponse:
    """Install the chosen sample topic."""
    name = request.POST.get("name", "")[:200]
    try:
        made: Topic = sample_topics.install(name)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("fdp:topics")
    record(request, "installed sample form topic", str(made))
    messages.success(request, f"The sample {made.title} is installed.")
    return redirect("fdp:topic", made.pk)
