"""Which names a text refers to, and which of them mean nothing where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tests.docs.names import Scope, defined, has, module_of, modules, roots, visible
from tests.docs.paths import FILES
from tests.docs.texts import Text, inline_code

ROLE = re.compile(r":(?:py:)?(mod|class|exc|func|meth|attr|data|obj):`([^`]+)`")
FIELD = re.compile(r"^:(raises|param|ivar)\s+([^:]+):", re.MULTILINE)
DOTTED = re.compile(r"(?<![\w./-])[A-Za-z_]\w*(?:\.[A-Za-z_][\w-]*)+(?![\w/-])")
IDENTIFIER = re.compile(
    r"""(?<![\w$-])
    (?: [A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+ | [a-z]+[A-Z]\w* | [a-z0-9]+(?:[_-][a-z0-9]+)+ | [A-Z]{2,}(?:_[A-Z0-9]+)+ )
    (?![\w-])""",
    re.VERBOSE,
)
#: In code, what is checked as a path, and what stands for a name.
_NO_NAME = re.compile(r"[\w.<>*…-]*/[\w./<>*…-]*|[\w-]+\.[a-z]{2,4}\b|<[^<>]*>")


def unknown(text: Text) -> Iterator[tuple[int, str]]:
    """Position and name of each role and field of a docstring or comment that leads nowhere."""
    module = module_of(text.file)
    around = text.scope
    for match in ROLE.finditer(text.text):
        if not _role_leads_somewhere(match[1], match[2], module, around):
            yield match.start(), match[0]
    for match in FIELD.finditer(text.text):
        for name in re.split(r",\s*", match[2]):
            if not _field_is_true(match[1], name.lstrip("*"), module, around):
                yield match.start(), f":{match[1]} {name}:"


def _role_leads_somewhere(role: str, target: str, module: str, around: Sequence[str]) -> bool:
    name = target.removesuffix("()").lstrip("~")
    if name.startswith("."):
        return _ends_a_name(name[1:])
    if role == "mod":
        return defined(name)
    return visible(name, module, around) or (role in ("meth", "attr") and _member_of_a_class(name, modules()[module]))


def _ends_a_name(name: str) -> bool:
    """Whether some module's dotted name ends so, or that of something that a module defines."""
    parts = name.split(".")
    return any(
        f".{module}".endswith("".join(f".{part}" for part in parts[:split])) and has(module, parts[split:])
        for split in range(len(parts) + 1)
        for module in modules()
    )


def _member_of_a_class(name: str, scope: Scope) -> bool:
    return any(each.has(name) for each in scope.classes.values())


def _field_is_true(kind: str, name: str, module: str, around: Sequence[str]) -> bool:
    if kind == "raises":
        return visible(name, module) or any(name in scope.classes for scope in modules().values())
    scope = modules()[module]
    for part in around[:-1]:
        scope = scope.classes.get(part, scope)
    function = scope.functions.get(around[-1]) if around else None
    if function is not None:
        return kind == "param" and name in function
    described = scope.classes.get(around[-1]) if around else None
    if described is None:
        return True  # a function inside of a function
    return name in described.functions.get("__init__", ()) or visible(f"{around[-1]}.{name}", module, around[:-1])


def dotted(text: Text) -> Iterator[tuple[int, str]]:
    """Position and name of what a text names from a package of ours on; an event's name looks the same."""
    for match in DOTTED.finditer(_without_roles(text.text)):
        follows = text.text[match.end() : match.end() + 2]
        if match[0].partition(".")[0] in roots() and follows not in (".<", ".{", ".*") and not match[0].endswith(FILES):
            yield match.start(), match[0]


def dotted_here(text: Text) -> Iterator[tuple[int, str]]:
    """Position and name of what inline code in a docstring names from something on that its module knows."""
    scope = modules()[module_of(text.file)]
    for position, code in inline_code(_without_roles(text.text)):
        head = code.partition(".")[0]
        if DOTTED.fullmatch(code) and (head in scope.classes or head in scope.imports):
            yield position, code


def identifiers(text: Text) -> Iterator[tuple[int, str]]:
    """Position and name of what inline code names that is no word: CamelCase, snake_case, UPPER_CASE, kebab-case."""
    for position, code in inline_code(text.text):
        for match in IDENTIFIER.finditer(_NO_NAME.sub(lambda other: " " * len(other[0]), code)):
            yield position + match.start(), match[0]


def _without_roles(text: str) -> str:
    return ROLE.sub(lambda match: " " * len(match[0]), text)
