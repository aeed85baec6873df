"""Users: search, add, disable and enable, set a password, move to another address, remove."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Greatest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mlink_web.accounts import moving, services
from mlink_web.accounts.models import Account
from mlink_web.console import node
from mlink_web.console.access import may_change, reach, within_domains
from mlink_web.console.audit import record
from mlink_web.console.forms import MoveForm, PasswordForm, UserForm
from mlink_web.console.replies import removal

PAGE_SIZE = 50
STATES = (("", "All users"), ("active", "Active"), ("disabled", "Disabled"), ("staff", "Administrators"))


#: Why an account is shown to an administrator of its domain but not changed by him.
BEYOND = "{} may do more than you here: an administrator of the server changes this account."


def accounts(request: HttpRequest) -> QuerySet[Account]:
    """The accounts within reach with `last_active`: the later of the last sign-in and the last leaving."""
    latest = Greatest(Coalesce(F("last_login"), F("last_logout")), Coalesce(F("last_logout"), F("last_login")))
    found = reach(request).narrowed(Account.objects.select_related("domain"), "domain__name")
    return found.annotate(last_active=latest)


def changeable(request: HttpRequest, pk: int) -> Account | None:
    """The account within reach, None where who asks may not change it, and has been told so. Raises Http404."""
    account = get_object_or_404(accounts(request), pk=pk)
    if may_change(reach(request), account):
        return account
    record(request, "change of user refused", account.username)
    messages.error(request, BEYOND.format(account.username))
    return None


@require_safe
@within_domains
def users(request: HttpRequest) -> HttpResponse:
    """The list, by pages."""
    q = request.GET.get("q", "").strip()[:200]
    state = request.GET.get("state", "")
    found = accounts(request).order_by("username")
    if q:
        found = found.filter(username__icontains=q)
    if state == "active":
        found = found.filter(state=Account.State.ACTIVE)
    elif state == "disabled":
        found = found.exclude(state=Account.State.ACTIVE)
    elif state == "staff":
        found = found.filter(is_staff=True)
    else:
        state = ""
    context = {
        "section": "users",
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "q": q,
        "state": state,
        "states": STATES,
        "query": urlencode({name: value for name, value in (("q", q), ("state", state)) if value}),
    }
    return render(request, "console/users.html", context)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
def add_user(request: HttpRequest) -> HttpResponse:
    """The form for a new user."""
    form = UserForm(request.POST or None, reach=reach(request))
    if form.is_valid():
        address, is_admin = form.cleaned_data["address"], bool(form.cleaned_data.get("administrator"))
        try:
            account = services.create_account(
                address, form.cleaned_data["password"], is_staff=is_admin, is_superuser=is_admin
            )
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            record(request, "added user", address, administrator=is_admin)
            messages.success(request, f"{address} can sign in now.")
            return redirect("console:user", account.pk)
    context = {
        "section": "users",
        "title": "Add a user",
        "action": "Add the user",
        "back": reverse("console:users"),
        "form": form,
    }
    return render(request, "console/form.html", context, status=400 if form.errors else 200)


@require_safe
@within_domains
def user(request: HttpRequest, pk: int) -> HttpResponse:
    """One user."""
    return _user_page(request, get_object_or_404(accounts(request), pk=pk))


def _user_page(
    request: HttpRequest, account: Account, form: PasswordForm | None = None, move_form: MoveForm | None = None
) -> HttpResponse:
    """The page, with a form that has errors where there is one."""
    shown = move_form or MoveForm(initial={"address": account.moved_to})
    failed = bool((form is not None and form.errors) or shown.errors)
    context = {
        "section": "users",
        "account": account,
        "form": form or PasswordForm(),
        "move_form": shown,
        "is_self": account.pk == request.user.pk,
        "may_change": may_change(reach(request), account),
        "node": node.sessions(account.username),
    }
    return render(request, "console/user.html", context, status=400 if failed else 200)


@sensitive_post_parameters("password", "again")
@require_POST
@within_domains
def set_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a new password."""
    account = changeable(request, pk)
    if account is None:
        return redirect("console:user", pk)
    form = PasswordForm(request.POST)
    if form.is_valid():
        try:
            services.set_password(account, form.cleaned_data["password"])
        except ValueError as error:
            form.add_error("password", str(error))
    if form.errors:
        return _user_page(request, account, form)
    record(request, "set password", account.username)
    messages.success(request, f"{account.username} has a new password.")
    if account.pk == request.user.pk:
        # The session hangs on the old password; without this the administrator would be signed out by their own act.
        update_session_auth_hash(request, Account.objects.get(pk=pk))
    return redirect("console:user", pk)


@require_POST
@within_domains
def set_state(request: HttpRequest, pk: int) -> HttpResponse:
    """Disable or enable an account."""
    account = changeable(request, pk)
    if account is None:
        return redirect("console:user", pk)
    active = request.POST.get("active") == "1"
    if account.pk == request.user.pk:
        messages.error(request, "You cannot disable your own account.")
        return redirect("console:user", pk)
    try:
        (services.enable if active else services.disable)(account)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        record(request, "enabled user" if active else "disabled user", account.username)
        messages.success(
            request, f"{account.username} {'can sign in again' if active else 'is disabled; its sessions end now'}."
        )
    return redirect("console:user", pk)


@require_POST
@within_domains
def move_user(request: HttpRequest, pk: int) -> HttpResponse:
    """Say that an account is at another address now, and have its contacts asked to follow; or ask them again."""
    account = changeable(request, pk)
    if account is None:
        return redirect("console:user", pk)
    form = MoveForm(request.POST, reach=reach(request))
    if form.is_valid():
        try:
            moved = moving.move(account, form.cleaned_data["address"])
        except ValueError as error:
            form.add_error("address", reach(request).told(str(error)))
    if form.errors:
        return _user_page(request, account, move_form=form)
    record(request, "moved user", account.username, to=moved.moved_to, **moved.counts)
    messages.success(request, moved.sentence())
    return redirect("console:user", pk)


@require_POST
@within_domains
def move_back(request: HttpRequest, pk: int) -> HttpResponse:
    """The account is itself again."""
    account = changeable(request, pk)
    if account is not None and account.moved_to:
        now = account.moved_to
        moving.undo(account)
        record(request, "moved user back", account.username, to=now)
        messages.success(request, f"{account.username} is itself again. Contacts that follow {now} go on to.")
    return redirect("console:user", pk)


@require_http_methods(["GET", "HEAD", "POST"])
@within_domains
def remove_user(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the address, then remove the account."""
    account = changeable(request, pk)
    if account is None:
        return redirect("console:user", pk)
    name = account.username
    if account.pk == request.user.pk:
        messages.error(request, "You cannot remove your own account.")
        return redirect("console:user", pk)
    return removal(
        request,
        name,
        lambda: services.remove(account),
        did="removed user",
        done=f"{name} is removed.",
        then="console:users",
        section="users",
        title=f"Remove {name}",
        warning="Its contacts, offline messages, private data and profile are deleted for good. "
        "Messages in the archive stay. To keep the person out but the data in, disable the account instead.",
        back=reverse("console:user", args=[pk]),
    )
