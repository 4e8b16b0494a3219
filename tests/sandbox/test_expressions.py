"""The template language: syntax, functions, and the hashes that Azure's own names depend on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.services.deployments.errors import TemplateError
from sandbox.services.deployments.expressions import Environment, Place, check, evaluate, references
from sandbox.services.deployments.hashing import guid, unique_string
from sandbox.services.deployments.syntax import MAX_EXPRESSION, Access, Call, Literal, parse

SUBSCRIPTION = "b2f1d3a4-6c5e-4d7f-8a9b-1c2d3e4f5a6b"
PLACE = Place(
    subscription_id=SUBSCRIPTION,
    tenant_id="5c6b0c0e-4a6b-4f3c-9d7e-0a1b2c3d4e5f",
    resource_group="rg",
    location="centralus",
    subscription_name="Sandbox",
)
PARAMETERS: dict[str, Any] = {"names": ["a", "b"], "shape": {"Size": 3, "deep": {"x": [1, 2]}}, "flag": True}
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"

ENVIRONMENT = Environment(
    PLACE, PARAMETERS.__getitem__, {"greeting": "hello"}.__getitem__, lambda name, full: {"of": name, "full": full}
)


def value_of(expression: str) -> Any:
    return evaluate(f"[{expression}]", ENVIRONMENT)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'it''s'", "it's"),
        ("concat('a', 'b', 3)", "ab3"),
        ("concat(createArray(1), createArray(2, 3))", [1, 2, 3]),
        ("format('{0}-{1}-{0} {{x}}', 'a', true())", "a-True-a {x}"),
        ("split('a/b,c', createArray('/', ','))", ["a", "b", "c"]),
        ("split('/subscriptions/s/resourceGroups/g', '/')[4]", "g"),
        ("last(split('a/b', '/'))", "b"),
        ("first('abc')", "a"),
        ("first('')", ""),
        ("last(createArray())", None),
        ("toLower('AbC')", "abc"),
        ("toUpper('AbC')", "ABC"),
        ("replace('a.b.c', '.', '')", "abc"),
        ("substring('abcdef', 2, 3)", "cde"),
        ("substring('abcdef', 2)", "cdef"),
        ("take('abc', 2)", "ab"),
        ("take(createArray(1, 2), 5)", [1, 2]),
        ("length('abc')", 3),
        ("length(parameters('shape'))", 2),
        ("empty('')", True),
        ("empty(null())", True),
        ("empty(createArray(1))", False),
        ("equals('a', 'A')", False),
        ("equals(1, true())", False),
        ("equals(createObject('a', 1), json('{\"a\": 1}'))", True),
        ("not(true())", False),
        ("and(true(), parameters('flag'))", True),
        ("or(false(), false())", False),
        ("if(false(), 'yes', 'no')", "no"),
        ("contains('abc', 'b')", True),
        ("contains(createArray('a', 'b'), 'c')", False),
        ("contains(parameters('shape'), 'size')", True),
        ("coalesce(null(), 'x', 'y')", "x"),
        ("union(createArray(1, 2), createArray(2, 3))", [1, 2, 3]),
        (
            "union(createObject('a', createObject('x', 1)), createObject('a', createObject('y', 2)))",
            {"a": {"x": 1, "y": 2}},
        ),
        ("string(createObject('a', true()))", '{"a":true}'),
        ("string(false())", "False"),
        ("int('42')", 42),
        ("bool('true')", True),
        ("bool(0)", False),
        ("json('[1, null]')[1]", None),
        ("base64('one')", "b25l"),
        ("variables('greeting')", "hello"),
        ("parameters('shape').size", 3),
        ("parameters('shape')['deep'].x[1]", 2),
        ("resourceGroup().location", "centralus"),
        ("resourceGroup().id", GROUP),
        ("subscription().subscriptionId", SUBSCRIPTION),
        ("tenant().tenantId", PLACE.tenant_id),
        ("reference('vault', '2022-07-01').of", "vault"),
        ("reference('vault', '2022-07-01', 'Full').full", True),
    ],
)
def test_functions(expression: str, expected: Any) -> None:
    """Each function yields what Azure's reference says."""
    assert value_of(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("resourceId('A.B/c', 'x')", f"{GROUP}/providers/A.B/c/x"),
        ("resourceId('A.B/c/d', 'x', 'y')", f"{GROUP}/providers/A.B/c/x/d/y"),
        ("resourceId('other', 'A.B/c', 'x')", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/other/providers/A.B/c/x"),
        ("resourceId('s2', 'other', 'A.B/c', 'x')", "/subscriptions/s2/resourceGroups/other/providers/A.B/c/x"),
        ("subscriptionResourceId('A.B/c', 'x')", f"/subscriptions/{SUBSCRIPTION}/providers/A.B/c/x"),
        ("extensionResourceId('/scope', 'A.B/c', 'x')", "/scope/providers/A.B/c/x"),
        ("tenantResourceId('A.B/c', 'x')", "/providers/A.B/c/x"),
    ],
)
def test_resource_ids(expression: str, expected: str) -> None:
    """Ids interleave the type's segments with the names."""
    assert value_of(expression) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("test",), "rbgf3xv4ufgzg"),
        (("hello", "world"), "a7wkljktk6wne"),
        (("abc",), "cgtzqvhu4i23s"),
        (("foo", "bar", "baz"), "xzi4ioaxtmth4"),
        (("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/my-rg",), "bmg7c6xu4tw46"),
    ],
)
def test_unique_string_is_azures(arguments: tuple[str, ...], expected: str) -> None:
    """Names derived here are the names that Azure derives."""
    assert unique_string(*arguments) == expected
    assert value_of("uniqueString({})".format(", ".join(f"'{a}'" for a in arguments))) == expected


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_hashes_depend_on_the_joined_arguments_only(parts: list[str]) -> None:
    """Both hashes are well-formed, and the same for the same joined text."""
    joined = "-".join(parts)
    assert unique_string(*parts) == unique_string(joined)
    assert set(unique_string(*parts)) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert len(unique_string(*parts)) == 13
    assert uuid.UUID(guid(*parts)).version == 5


def test_syntax_tree() -> None:
    """Accesses apply to everything to their left."""
    assert parse("[f('a').b[0]]") == Access(Access(Call("f", (Literal("a"),)), Literal("b")), Literal(0))


@given(st.text())
def test_strings_are_quoted_by_doubling(text: str) -> None:
    """Any text can be written as a literal of the language."""
    assert value_of("'{}'".format(text.replace("'", "''"))) == text


@pytest.mark.parametrize(
    ("written", "meant"),
    [("[[x]", "[x]"), ("plain", "plain"), ("[half", "[half"), ("half]", "half]"), (7, 7), (None, None)],
)
def test_values_that_are_not_expressions(written: Any, meant: Any) -> None:
    """Only a string in brackets is evaluated, and a doubled bracket is one."""
    assert evaluate(written, ENVIRONMENT) == meant


def test_expressions_are_found_at_any_depth() -> None:
    """Keys, items and values are evaluated alike."""
    assert evaluate({"[variables('greeting')]": [{"x": "[parameters('names')[0]]"}]}, ENVIRONMENT) == {
        "hello": [{"x": "a"}]
    }


def test_the_branch_not_taken_is_not_evaluated() -> None:
    """if() protects what would fail."""
    assert value_of("if(true(), 'ok', createArray()[5])") == "ok"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("pickZones('a')", "'pickZones' is not valid"),
        ("concat('a'", "the end was not expected"),
        ("concat('a' 'b')", "was not expected"),
        ("'a' + 'b'", "'+' was not expected"),
        ("bare", "was not expected"),
        ("'unclosed", "was not expected"),
        ("parameters('shape').colour", "'colour' doesn't exist, available properties are 'Size, deep'"),
        ("parameters('names')[2]", "out of bounds"),
        ("parameters('flag').x", "can't be evaluated"),
        ("not('x')", "'not' does not accept"),
        ("toLower(1)", "'toLower' does not accept"),
        ("substring('abc', 2, 5)", "'substring' does not accept"),
        ("length(3)", "'length' does not accept"),
        ("split('a')", "requires 2 argument(s) while 1 were provided"),
        ("resourceId('A.B/c/d', 'x')", "requires 2 resource name argument(s) while 1"),
        ("if('yes', 1, 2)", "'if' expects a boolean"),
        ("format('{0:D4}', 7)", "does not support format item"),
        ("'" + "a" * MAX_EXPRESSION + "'", "length limit"),
    ],
)
def test_refusals(expression: str, message: str) -> None:
    """What is wrong with an expression is named."""
    with pytest.raises(TemplateError) as caught:
        value_of(expression)
    assert message in caught.value.message


def test_check_reads_without_evaluating() -> None:
    """Unknown functions are found in the branch not taken as well."""
    check({"a": "[if(true(), reference('x').y, parameters('missing'))]"})
    with pytest.raises(TemplateError, match="nope"):
        check(["[if(true(), 1, nope())]"])


def test_references_are_the_first_arguments() -> None:
    """What an expression waits for can be told before it can be evaluated."""
    assert references({"p": "[concat(reference('a').x, reference(variables('b'), 'v').y)]"}) == [
        Literal("a"),
        Call("variables", (Literal("b"),)),
    ]


def test_reference_is_refused_where_nothing_stands_yet() -> None:
    """Names and conditions cannot depend on what is deployed."""
    with pytest.raises(TemplateError, match="not expected at this location"):
        evaluate("[reference('x')]", Environment(PLACE, PARAMETERS.__getitem__, PARAMETERS.__getitem__))
