"""Loading modules and compiling their table: order, conflicts, options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from xmpp_engine.plugin.loader import compile_table, import_modules, load, options_of
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar, RegistrationError
from xmpp_engine.plugin.table import Target


@dataclass(frozen=True)
class Options:
    size: int = 3


class First(Module):
    name = "first"
    Config = Options
    features = {Target.HOST: ("urn:b", "urn:a")}

    def setup(self, reg: Registrar) -> None:
        reg.message_out(Phase.COPY, self.copy)
        reg.message_out(Phase.POLICY, self.check)
        reg.iq_get(Target.HOST, "urn:a", "query", self.answer)

    def copy(self, stanza: Any, session: Any) -> None: ...

    def check(self, stanza: Any, session: Any) -> None: ...

    def answer(self, iq: Any, context: Any) -> None: ...


class Second(Module):
    name = "second"
    requires = ("first",)

    def setup(self, reg: Registrar) -> None:
        reg.message_out(Phase.POLICY, self.check)
        reg.message_out(Phase.STORE, self.store)

    def check(self, stanza: Any, session: Any) -> None: ...

    def store(self, stanza: Any, session: Any) -> None: ...


class Rival(Module):
    name = "rival"

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.HOST, "urn:a", "query", self.answer)

    def answer(self, iq: Any, context: Any) -> None: ...


class Slow(Module):
    name = "slow"

    def setup(self, reg: Registrar) -> None:
        reg.message_out(Phase.POLICY, self.check)  # type: ignore[arg-type]

    async def check(self, stanza: Any, session: Any) -> None: ...


def build(*kinds: type[Module], options: Any = None, disabled: frozenset[str] = frozenset()) -> dict[str, Module]:
    return load(kinds, None, None, options or {}, disabled)


def test_hooks_run_by_phase_and_then_by_module() -> None:
    modules = build(First, Second)
    table = compile_table(modules)
    first, second = modules["first"], modules["second"]
    assert table.message_out == (first.check, second.check, second.store, first.copy)
    assert table.features[Target.HOST] == ("urn:a", "urn:b")
    assert table.owner_of(second.store).owner == "second"  # type: ignore[union-attr]
    assert "message_out        STORE     second         store" in table.dump()


def test_two_modules_cannot_claim_one_iq() -> None:
    with pytest.raises(RegistrationError, match="taken by first"):
        compile_table(build(First, Rival))


def test_hooks_of_the_message_path_are_plain_functions() -> None:
    with pytest.raises(RegistrationError, match="plain function"):
        compile_table(build(Slow))


def test_requirements_stand_before_who_needs_them() -> None:
    with pytest.raises(RegistrationError, match="second needs first"):
        build(Second, First)
    with pytest.raises(RegistrationError, match="second needs first"):
        build(First, Second, disabled=frozenset({"first"}))
    modules = build(First, Second)
    assert modules["second"].needs("first") is modules["first"]
    with pytest.raises(KeyError):
        modules["first"].needs("second")


def test_options_become_the_modules_config() -> None:
    assert build(First, options={"first": {"size": 9}})["first"].config.size == 9
    with pytest.raises(ValueError, match=r"first\.colour"):
        options_of(First, {"colour": "red"})


def test_what_is_imported_must_be_a_module() -> None:
    assert import_modules(["xmpp_engine.modules.ping.Ping"])[0].name == "ping"
    for wrong in (["xmpp_engine.modules.ping.Nothing"], ["xmpp_engine.xml.element.Element"]):
        with pytest.raises(RegistrationError):
            import_modules(wrong)
    with pytest.raises(RegistrationError, match="two modules"):
        import_modules(["xmpp_engine.modules.ping.Ping"] * 2)
