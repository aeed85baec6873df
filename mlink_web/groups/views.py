"""The console's pages of groups: list, add, members, delete."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.console.access import reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.replies import removal
from mlink_web.groups import services
from mlink_web.groups.forms import DescriptionForm, GroupForm, MembersForm
from mlink_web.groups.models import Group

PAGE_SIZE = 50
MEMBERS_PAGE = 100


@require_safe
@within_domains
def groups(request: HttpRequest) -> HttpResponse:
    """The list, by pages; `q` is looked for in names, descriptions and members."""
    q = request.GET.get("q", "").strip()[:200]
    found = _within(request).annotate(size=Count("members", distinct=True))
    if q:
        found = found.filter(Q(name__icontains=q) | Q(description__icontains=q) | Q(members__jid=q.lower()))
        # The filter on members must not count for their number.
        found = _within(request).annotate(size=Count("members")).filter(pk__in=found.values("pk"))
    context = {
        "section": "groups",
        "page": Paginator(found.order_by("name"), PAGE_SIZE).get_page(request.GET.get("page")),
        "q": q,
    }
    return render(request, "groups/groups.html", context)


def _within(request: HttpRequest) -> QuerySet[Group]:
    """The groups of the domains within reach."""
    return reach(request).narrowed(Group.objects.select_related("domain"), "domain__name")


@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
def add_group(request: HttpRequest) -> HttpResponse:
    """The form for a new group."""
    form = GroupForm(request.POST or None, reach=reach(request))
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = services.add_group(data["domain"], data["name"], data["description"])
        except services.GroupExists as error:
            # Names are unique on the server: that it is another domain's group is nobody's business.
            own = _within(request).filter(name=services.canonical_name(data["name"])).exists()
            form.add_error("name", str(error) if own else "This name cannot be used; try another one.")
        except ValueError as error:
            form.add_error("name", str(error))
        else:
            record(request, "added group", made.name, domain=data["domain"])
            messages.success(request, f"The group {made.name} is made. Add its members now.")
            return redirect("groups:group", made.pk)
    context = {
        "section": "groups",
        "title": "Add a group",
        "lead": "People of a group can be made members of rooms together, and be allowed forms.",
        "action": "Add the group",
        "back": reverse("groups:groups"),
        "form": form,
    }
    return render(request, "console/form.html", context, status=400 if form.errors else 200)


@require_safe
@within_domains
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of a group."""
    return _group_page(request, get_object_or_404(_within(request), pk=pk), MembersForm())


def _group_page(request: HttpRequest, found: Group, form: MembersForm) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:200]
    members = found.members.all()
    chosen = members.filter(jid__icontains=q) if q else members
    context = {
        "section": "groups",
        "group": found,
        "page": Paginator(chosen, MEMBERS_PAGE).get_page(request.GET.get("page")),
        "total": members.count(),
        "q": q,
        "form": form,
        "description": DescriptionForm(initial={"description": found.description}),
    }
    return render(request, "groups/group.html", context, status=400 if form.errors else 200)


@require_POST
@within_domains
def describe(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the description."""
    found = get_object_or_404(_within(request), pk=pk)
    try:
        services.describe(found, request.POST.get("description", ""))
    except ValueError as error:
        messages.error(request, str(error))
    else:
        record(request, "described group", found.name)
        messages.success(request, "The description is saved.")
    return redirect("groups:group", pk)


@require_POST
@within_domains
def add_members(request: HttpRequest, pk: int) -> HttpResponse:
    """Add people and domains."""
    found = get_object_or_404(_within(request), pk=pk)
    form = MembersForm(request.POST)
    if form.is_valid():
        try:
            added = services.add_members(found, form.addresses())
        except ValueError as error:
            form.add_error("members", str(error))
        else:
            record(request, "added members to group", found.name, count=len(added), first=", ".join(added[:20]))
            count = f"{len(added)} member{'s' if len(added) != 1 else ''}"
            messages.success(request, f"{count} added." if added else "They are in the group already.")
            return redirect("groups:group", pk)
    return _group_page(request, found, form)


@require_POST
@within_domains
def remove_member(request: HttpRequest, pk: int) -> HttpResponse:
    """Take somebody out."""
    found = get_object_or_404(_within(request), pk=pk)
    try:
        jid = services.remove_member(found, request.POST.get("member", ""))
    except ValueError as error:
        messages.error(request, str(error))
    else:
        record(request, "removed member of group", found.name, member=jid)
        messages.success(request, f"{jid} is not in the group any more.")
    return redirect("groups:group", pk)


@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
def remove_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the name, then delete the group."""
    found = get_object_or_404(_within(request), pk=pk)
    name = found.name
    return removal(
        request,
        name,
        lambda: services.remove_group(found),
        did="deleted group",
        done=f"The group {name} is deleted.",
        then="groups:groups",
        section="groups",
        title=f"Delete the group {name}",
        warning="Rooms and forms that name the group go on naming it, but nobody is in it any more: "
        "its members lose what they were allowed by it, and whoever was banned by it may come back.",
        action="Delete for good",
        back=reverse("groups:group", args=[pk]),
    )
