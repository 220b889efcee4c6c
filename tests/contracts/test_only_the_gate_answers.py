"""Read the hospital's source: nothing but the gate can answer the coordinator."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "client").rglob("*.py"))}
REPLY_MAKERS = {"client/gate.py", "client/boundary.py", "client/messages.py", "client/app.py"}
CONTROL_PLANE = "client/control.py"
WORKER = "client/worker.py"
RUNTIME = {"client/runtime.py", "client/supernode.py", "client/supervisor.py"}
"""Around Flower's SuperNode: they start it and claim tasks, and never see what is in a message."""
ABOUT_THE_SITE = {"EnrolRequest", "GreetRequest"}
ABOUT_NOTHING = {"ReachRequest", "StudyRequest", "StatusRequest"}
HANDLERS = {"instructions"}
CONSTRUCTED_ONLY_IN = {
    "Released": "client/gate.py",
    "Message": "client/messages.py",
    "RecordDict": "client/messages.py",
    "ConfigRecord": "client/messages.py",
}


def tree(name: str) -> ast.Module:
    return ast.parse(CLIENT[name].read_text(encoding="utf-8"))


def name_of(node: ast.expr) -> str:
    """The last part of `a.b.c`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def calls(node: ast.AST) -> Iterator[str]:
    return (name_of(part.func) for part in ast.walk(node) if isinstance(part, ast.Call))


def mentioned(node: ast.AST) -> set[str]:
    """Every name that is used or imported, also under another name."""
    used = {name_of(part) for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute)}
    imports = [part for part in ast.walk(node) if isinstance(part, ast.Import | ast.ImportFrom)]
    return used | {alias.name for part in imports for alias in part.names}


def function(module: ast.Module, name: str) -> ast.FunctionDef:
    return next(n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == name)


def test_the_walk_sees_the_whole_client() -> None:
    assert CLIENT.keys() > REPLY_MAKERS
    assert "client/data/cache.py" in CLIENT


@pytest.mark.parametrize(("kind", "home"), CONSTRUCTED_ONLY_IN.items())
def test_what_a_reply_is_made_of_is_constructed_in_one_file(kind: str, home: str) -> None:
    assert [name for name in CLIENT if kind in calls(tree(name))] == [home]


@pytest.mark.parametrize("kind", ["Array", "ArrayRecord", "MetricRecord"])
def test_nothing_else_that_flower_could_carry_is_constructed(kind: str) -> None:
    assert [name for name in CLIENT if kind in calls(tree(name))] == []


@pytest.mark.parametrize("name", sorted(CLIENT.keys() - REPLY_MAKERS - {CONTROL_PLANE, WORKER} - RUNTIME))
def test_nobody_else_touches_replies_or_flower(name: str) -> None:
    module = tree(name)
    assert not mentioned(module) & {
        "Released",
        "reply_to",
        "guarded",
        "Message",
        "RecordDict",
        "release_record",
    }
    imported = {n.module or "" for n in ast.walk(module) if isinstance(n, ast.ImportFrom)}
    imported |= {a.name for n in ast.walk(module) if isinstance(n, ast.Import) for a in n.names}
    assert not [
        m
        for m in imported - {"urllib.parse"}  # which only takes addresses apart
        if m.split(".")[0] in ("flwr", "grpc", "socket", "requests", "urllib", "http")
    ]


@pytest.mark.parametrize("name", sorted(RUNTIME))
def test_what_starts_the_supernode_touches_no_reply(name: str) -> None:
    makes = {"Released", "reply_to", "guarded", "Message", "RecordDict", "push_message", "PushMessages"}
    assert not mentioned(tree(name)) & makes


def test_the_worker_pushes_what_app_and_reply_to_made_and_nothing_else() -> None:
    module = tree(WORKER)
    assert not set(calls(module)) & {"Released", "Message", "make_message", "RecordDict", "PushMessages"}
    assert list(calls(module)).count("push_message") == 1
    assert "push_message" in calls(function(module, "_push"))
    made = {
        name_of(target)
        for part in ast.walk(module)
        if isinstance(part, ast.Assign) and isinstance(part.value, ast.Call)
        for target in part.targets
        if name_of(part.value.func) in ("app", "_refusal", "wordless")
    }
    pushes = [n for n in ast.walk(module) if isinstance(n, ast.Call) and name_of(n.func) == "_push"]
    assert len(pushes) == 2
    for push in pushes:
        reply = push.args[1]
        by_name = isinstance(reply, ast.Name) and reply.id in made
        assert by_name or (isinstance(reply, ast.Call) and name_of(reply.func) == "_refusal")
    (returned,) = [n.value for n in ast.walk(function(module, "_refusal")) if isinstance(n, ast.Return)]
    assert isinstance(returned, ast.Call)
    assert name_of(returned.func) == "reply_to"
    assert "guarded" in calls(function(module, "_refusal"))


def test_what_the_control_plane_says_about_the_site_has_passed_the_gate() -> None:
    module = tree(CONTROL_PLANE)
    assert not mentioned(module) & {"reply_to", "guarded", "Message", "RecordDict", "Gate", "Record"}
    made = [name for name in calls(module) if name.endswith("Request")]
    assert set(made) == ABOUT_THE_SITE | ABOUT_NOTHING
    inside = []
    for part in ast.walk(module):
        if isinstance(part, ast.FunctionDef):
            requests = [name for name in calls(part) if name in ABOUT_THE_SITE]
            inside += requests
            if requests:
                assert "Released" in {name_of(a.annotation) for a in part.args.args if a.annotation}
    assert sorted(inside) == sorted(ABOUT_THE_SITE)


def test_released_is_made_at_one_place_after_the_check() -> None:
    gate = tree("client/gate.py")
    assert list(calls(gate)).count("Released") == 1
    release = next(n for n in ast.walk(gate) if isinstance(n, ast.FunctionDef) and n.name == "release")
    order = [name for name in calls(release) if name in ("_check", "Released")]
    lines = {name_of(n.func): n.lineno for n in ast.walk(release) if isinstance(n, ast.Call)}
    assert sorted(order) == ["Released", "_check"]
    assert lines["_check"] < lines["append"] < lines["Released"]


def test_every_registered_handler_is_one_call_of_answer() -> None:
    module = tree("client/app.py")
    handlers = [
        n
        for n in module.body
        if isinstance(n, ast.FunctionDef)
        and any(
            isinstance(d, ast.Call) and name_of(getattr(d.func, "value", d)) == "app"
            for d in n.decorator_list
        )
    ]
    assert {handler.name for handler in handlers} == HANDLERS
    for handler in handlers:
        _docstring, only = handler.body
        assert isinstance(only, ast.Return)
        assert list(calls(only)) == ["answer"]


def test_answer_sends_what_guarded_returns_and_nothing_else() -> None:
    answer = function(tree("client/app.py"), "answer")
    made = next(
        n.targets[0]
        for n in ast.walk(answer)
        if isinstance(n, ast.Assign)
        and isinstance(n.value, ast.ListComp)
        and isinstance(n.value.elt, ast.Call)
        and name_of(n.value.elt.func) == "guarded"
    )
    inner = next(n for n in ast.walk(answer) if isinstance(n, ast.FunctionDef) and n is not answer)
    assert inner.returns is not None
    assert name_of(inner.returns) == "Record"  # what `guarded` calls, and no reply
    returned = [
        n.value for n in ast.walk(answer) if isinstance(n, ast.Return) and n not in list(ast.walk(inner))
    ]
    assert len(returned) == 1
    (reply,) = returned
    assert isinstance(reply, ast.Call)
    assert name_of(reply.func) == "reply_to"
    assert name_of(reply.args[1]) == name_of(made)
