"""The periodic sweep."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from mlink_web.accounts import services
from mlink_web.accounts.models import AccountChange, SignInToken
from mlink_web.conf.models import Domain
from mlink_web.outbox.models import WaitingStanza
from mlink_web.stores import offline, tasks
from mlink_web.stores.models import OfflineMessage, StreamMark
from xmpp_engine.storage.outbox import FORGOTTEN_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_has_expired_goes_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "SLICE", 2)
    monkeypatch.setattr(tasks, "SLICE", 2)
    Domain.objects.create(name="a.example")
    account = services.create_account("romeo@a.example", "x")
    services.issue_token(account)
    now = time.time()
    for expires in (0.0, now - 1, now - 1, now - 1, now + 900):
        OfflineMessage.objects.create(account=account, stamp=now, xml="<message/>", size=10, expires=expires)
    OfflineMessage.objects.create(account_id=account.pk + 1, stamp=now, xml="<message/>", size=10)
    StreamMark.objects.create(sm_id="old", account_id=account.pk, handled=1, updated=now - tasks.MARK_SECONDS - 1)
    StreamMark.objects.create(sm_id="new", account_id=account.pk, handled=1, updated=now)
    AccountChange.objects.update(when=timezone.now() - timedelta(hours=tasks.CHANGE_HOURS + 1))
    AccountChange.objects.create(bare="new@a.example")
    SignInToken.objects.filter(mechanism="SCRAM-SHA-1").update(expires=now - 1)

    for number, age in (("a", FORGOTTEN_SECONDS + 9), ("b", 9)):
        WaitingStanza.objects.create(
            id=number, node="n", local="a", remote="b", xml="", created=0, expires=now - age, size=0
        )

    assert tasks.expire() == {"offline": 3, "orphans": 1, "marks": 1, "tokens": 1, "outgoing": 1, "changes": 1}

    assert sorted(OfflineMessage.objects.values_list("expires", flat=True)) == [0.0, now + 900]
    assert list(StreamMark.objects.values_list("sm_id", flat=True)) == ["new"]
    assert list(AccountChange.objects.values_list("bare", flat=True)) == ["new@a.example"]
    assert SignInToken.objects.count() == 1
    assert tasks.expire() == dict.fromkeys(("offline", "orphans", "marks", "tokens", "outgoing", "changes"), 0)
