"""The names that the Python files of the repository define, found by reading them: nothing is imported that is ours."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.docs.texts import trees


@dataclass
class Scope:
    """What a module or a class defines.

    :ivar imports: a name, and the dotted name that it stands for
    :ivar classes: classes that are defined here
    :ivar functions: parameters of the functions that are defined here
    :ivar values: everything else that has a name here
    :ivar bases: of a class, as written in the module ``home``
    """

    home: str
    imports: dict[str, str] = field(default_factory=dict)
    classes: dict[str, Scope] = field(default_factory=dict)
    functions: dict[str, frozenset[str]] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    bases: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        return name in self.imports or name in self.classes or name in self.functions or name in self.values


def module_of(file: str) -> str:
    """The dotted name of the module that a file holds."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@functools.cache
def modules() -> Mapping[str, Scope]:
    """Every module of the repository."""
    return {module_of(file): scope_of(tree.body, module_of(file), _package(file)) for file, tree in trees().items()}


@functools.cache
def packages() -> frozenset[str]:
    """Folders that hold modules, dotted; not all have an ``__init__.py``."""
    return frozenset(name.rsplit(".", depth)[0] for name in modules() for depth in range(1, name.count(".") + 1))


@functools.cache
def roots() -> frozenset[str]:
    """The top-level packages."""
    return frozenset(name.partition(".")[0] for name in modules())


def _package(file: str) -> str:
    return module_of(file) if file.endswith("/__init__.py") else module_of(file).rpartition(".")[0]


def scope_of(body: Iterable[ast.stmt], home: str, package: str) -> Scope:
    """What these statements of a module define, those inside of conditions included."""
    scope = Scope(home)
    for statement in _flat(body):
        match statement:
            case ast.Import(names=names):
                plain = {alias.name.partition(".")[0] for alias in names if alias.asname is None}
                scope.imports |= {name: name for name in plain}
                scope.imports |= {alias.asname: alias.name for alias in names if alias.asname}
            case ast.ImportFrom(module=module, names=names, level=level):
                base = ".".join(filter(None, [package.rsplit(".", level - 1)[0] if level else "", module]))
                scope.imports |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in names}
            case ast.ClassDef(name=name):
                scope.classes[name] = scope_of(statement.body, home, package)
                scope.classes[name].bases = tuple(ast.unparse(base).partition("[")[0] for base in statement.bases)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                scope.functions[name] = _parameters(statement.args)
                scope.values |= set(_attributes_of_self(statement)) if "self" in scope.functions[name] else set()
            case _:
                scope.values |= set(_targets(statement))
    return scope


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
            children = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
            handlers = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.ExceptHandler)]
            yield from _flat([*children, *(line for handler in handlers for line in handler.body)])
        yield statement


def _parameters(arguments: ast.arguments) -> frozenset[str]:
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return frozenset(argument.arg for argument in [*plain, *starred])


def _attributes_of_self(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def _targets(statement: ast.stmt) -> Iterator[str]:
    targets: Sequence[ast.expr] = ()
    match statement:
        case ast.Assign():
            targets = statement.targets
        case ast.AnnAssign() | ast.For():
            targets = [statement.target]
        case ast.With():
            targets = [item.optional_vars for item in statement.items if item.optional_vars]
    for target in targets:
        yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def defined(name: str) -> bool:
    """Whether a dotted name, from its top-level package on, stands for something."""
    if name in packages():
        return True
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if module in modules():
            return has(module, parts[length:])
    return parts[0] not in roots() and _outside(name)


def has(module: str, parts: Sequence[str]) -> bool:
    """Whether something of a module has that name; nothing of it is the module itself."""
    return _in_scope(modules()[module], parts)


def visible(name: str, module: str, around: Sequence[str] = ()) -> bool:
    """Whether a name means something where it stands: in a class, in its module, to Python, or everywhere."""
    scope = modules()[module]
    parts = name.split(".")
    inner = [scope]
    for part in around:
        if part not in inner[-1].classes:
            break
        inner.append(inner[-1].classes[part])
    return (
        any(_in_scope(each, parts) for each in reversed(inner))
        or (len(parts) == 1 and hasattr(builtins, name))
        or (len(parts) > 1 and defined(name))
        or defined(f"{module}.{name}")
    )


def _in_scope(scope: Scope, parts: Sequence[str]) -> bool:
    if not parts:
        return True
    head, rest = parts[0], parts[1:]
    if head in scope.classes:
        return _in_scope(scope.classes[head], rest)
    if head in scope.imports:
        return defined(".".join([scope.imports[head], *rest]))
    if head in scope.functions:
        return not rest
    # What a value has is not known before the program runs.
    return head in scope.values or any(visible(f"{base}.{'.'.join(parts)}", scope.home) for base in scope.bases)


@functools.cache
def _outside(name: str) -> bool:
    """Whether something of another project has that name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        return functools.reduce(lambda thing, part: getattr(thing, part, None), parts[length:], found) is not None
    return False
