"""Configurations of nodes as values and as forms, and the options of a service."""

from __future__ import annotations

from typing import Any

import pytest

from xmpp_engine.pubsub import config_form
from xmpp_engine.pubsub.config import NodeConfig, at_most, from_values, to_values
from xmpp_engine.pubsub.config_form import FieldError
from xmpp_engine.pubsub.options import PubSubOptions, service_options


def test_only_what_differs_is_stored() -> None:
    config = NodeConfig(title="T", max_items="max", contact=("a@b.example",), notify_sub=True)
    values = to_values(config, NodeConfig())
    assert values == {"title": "T", "max_items": "max", "contact": ["a@b.example"], "notify_sub": True}
    assert from_values(NodeConfig(), values) == config
    assert to_values(NodeConfig(), NodeConfig()) == {}


@pytest.mark.parametrize(
    "values",
    [
        {"no_such": 1},
        {"title": 1},
        {"max_items": -1},
        {"max_items": "many"},
        {"max_items": True},
        {"access_model": "secret"},
        {"contact": "a@b.example"},
        {"contact": [1]},
        {"persist_items": 1},
        {"title": "x" * 2_001},
        {"collection": ["n"] * 201},
    ],
)
def test_values_that_do_not_fit(values: dict[str, Any]) -> None:
    assert from_values(NodeConfig(), values) == NodeConfig(), "a later version may have written them"
    with pytest.raises(ValueError):
        from_values(NodeConfig(), values, strict=True)


def test_names_may_have_their_prefix() -> None:
    assert from_values(NodeConfig(), {"pubsub#title": "T"}, strict=True).title == "T"


def test_as_many_as_can_be() -> None:
    assert at_most("max", 10) == 10
    assert at_most(50, 10) == 10
    assert at_most(5, 10) == 5


@pytest.mark.parametrize("kind", ["leaf", "collection"])
def test_a_form_that_comes_back_changes_nothing(kind: Any) -> None:
    config = NodeConfig(
        title="T",
        description="D",
        language="pt-BR",
        access_model="roster",
        roster_groups_allowed=("A", "B"),
        max_items=7,
        item_expire=60,
        children_max=5,
        collection=("x", "y"),
    )
    fields = config_form.fields(config, kind, ("c1",), ("A", "C"))
    asked = config_form.apply(config, {field.var: field.values for field in fields})
    assert asked.config == config
    assert asked.kind == kind
    assert asked.children == (("c1",) if kind == "collection" else None)
    assert len({field.var for field in fields}) == len(fields)


@pytest.mark.parametrize(
    ("var", "value"),
    [
        ("max_items", ("ten",)),
        ("max_items", ("1" * 11,)),
        ("max_items", ("-1",)),
        ("persist_items", ("perhaps",)),
        ("persist_items", ("1", "0")),
        ("access_model", ("secret",)),
        ("node_type", ("tree",)),
        ("language", ("not a language",)),
        ("contact", ("@@",)),
        ("title", ("x" * 2_001,)),
        ("roster_groups_allowed", tuple(f"g{n}" for n in range(201))),
        ("max_payload_size", ("max",)),
    ],
)
def test_submitted_texts_that_do_not_fit(var: str, value: tuple[str, ...]) -> None:
    with pytest.raises(FieldError) as caught:
        config_form.apply(NodeConfig(), {f"pubsub#{var}": value})
    assert caught.value.field == f"pubsub#{var}"


def test_what_is_left_out_stays_and_what_nobody_knows_is_ignored() -> None:
    config = NodeConfig(title="T")
    asked = config_form.apply(config, {"x-other": ("1",), "pubsub#max_items": ("max",)})
    assert asked.config == NodeConfig(title="T", max_items="max")


def test_names_of_other_times() -> None:
    asked = config_form.apply(NodeConfig(), {"pubsub#publish_full_node": ("reject",)})
    assert asked.config.publish_node_full == "reject"
    asked = config_form.apply(NodeConfig(), {"pubsub#children_association_policy": ("owner",)})
    assert asked.config.children_association_policy == "owners"


def test_conditions_of_a_publication() -> None:
    config = NodeConfig(access_model="whitelist", contact=("b@x.example", "a@x.example"))
    same = {"pubsub#access_model": ("whitelist",), "pubsub#persist_items": ("true",)}
    assert config_form.differing(config, same) == ""
    assert config_form.differing(config, {"pubsub#contact": ("a@x.example", "b@x.example")}) == ""
    assert config_form.differing(config, {"pubsub#access_model": ("open",)}) == "pubsub#access_model"
    assert config_form.differing(config, {"pubsub#max_items": ("x",)}) == "pubsub#max_items"
    assert config_form.differing(config, {"pubsub#new": ("1",)}) == "pubsub#new"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"unknown": 1}, "no option"),
        ({"create": "me"}, "create"),
        ({"operators": ["@@"]}, "operators"),
        ({"creators": ["a@b.example/c"]}, "creators"),
        ({"max_nodes": 0}, "max_nodes"),
        ({"max_nodes": "many"}, "type"),
        ({"unload_seconds": -1}, "unload_seconds"),
        ({"creations_per_second": 0}, "creations_per_second"),
        ({"name_pattern": "("}, "name_pattern"),
        ({"name_bytes": 5_000}, "name_bytes"),
        ({"page_items": 5_000}, "page_items"),
        ({"defaults": {"access_model": "no"}}, "access_model"),
    ],
)
def test_options_that_make_no_sense(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        service_options(values)


def test_services_are_named_by_one_label() -> None:
    assert set(PubSubOptions().services) == {"pubsub"}
    for name in ("a.b", "Größe", ""):
        with pytest.raises(ValueError, match="services"):
            PubSubOptions({name: {}})
