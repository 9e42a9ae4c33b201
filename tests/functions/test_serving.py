"""What a file serves, and under which names."""

from __future__ import annotations

import pytest

from outlast.functions.catalog import FunctionMissing, Target
from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition
from tests.functions.conftest import Project


def reached(project: Project, path: str) -> tuple[str, str]:
    target = project.catalog.resolve(path)
    return target.function, target.subpath


def missing(project: Project, path: str) -> str:
    with pytest.raises(FunctionMissing) as error:
        project.catalog.resolve(path)
    return str(error.value)


def test_the_workflow_of_the_files_name_serves_the_file(project: Project) -> None:
    project.write(
        "checkout.py",
        """
        from outlast import workflow
        @workflow
        async def refund(): ...
        @workflow
        async def checkout(): ...
        """,
    )
    catalog = project.load()
    assert set(project.served()) == {"checkout", "checkout/refund"}
    target = catalog.resolve("checkout")
    assert isinstance(target.served, WorkflowDefinition)
    assert (target.function, target.served.name, target.subpath) == ("checkout", "checkout", "/")
    assert target.version == project.file("checkout").version
    assert reached(project, "checkout/refund") == ("checkout/refund", "/")


def test_the_only_workflow_serves_the_file(project: Project) -> None:
    project.workflow("checkout.py", "pay")
    project.load()
    assert set(project.served()) == {"checkout"}
    missing(project, "checkout/pay")


def test_several_without_the_files_name_are_told_as_choices(project: Project) -> None:
    project.write(
        "billing.py",
        """
        from outlast import handler, workflow
        @workflow
        async def charge(): ...
        @handler
        async def invoice(request): ...
        """,
    )
    project.load()
    assert set(project.served()) == {"billing/charge", "billing/invoice"}
    assert (
        missing(project, "billing") == "billing serves several: call one of billing/charge, billing/invoice"
    )
    assert project.file("billing").error is None
    assert reached(project, "billing/charge") == ("billing/charge", "/")


def test_a_workflow_gets_sub_paths_only_with_a_request(project: Project) -> None:
    project.write(
        "plain.py",
        """
        from outlast import workflow
        @workflow
        async def plain(name: str = ""): ...
        """,
    )
    project.write(
        "full.py",
        """
        from outlast import Request, workflow
        @workflow
        async def full(request: Request): ...
        @workflow
        async def deep(request: Request): ...
        @workflow
        async def flat(): ...
        """,
    )
    project.load()
    missing(project, "plain/unknown")
    assert reached(project, "plain/") == ("plain", "/")
    assert reached(project, "full/a/b") == ("full", "/a/b")
    assert reached(project, "full/deep/a/b/") == ("full/deep", "/a/b/")
    assert reached(project, "full/deep/") == ("full/deep", "/")
    assert reached(project, "full/flat") == ("full/flat", "/")
    assert reached(project, "full/flat/more") == ("full", "/flat/more")


def test_handlers_get_sub_paths_and_give_way_to_workflows(project: Project) -> None:
    project.write(
        "hook.py",
        """
        from outlast import handler, workflow
        @handler
        async def hook(request): ...
        @workflow
        async def process(): ...
        """,
    )
    catalog = project.load()
    assert isinstance(catalog.resolve("hook").served, HandlerDefinition)
    assert reached(project, "hook/a/b") == ("hook", "/a/b")
    assert reached(project, "hook/process") == ("hook/process", "/")
    assert catalog.workflow_names() == ["hook/process"]
    assert catalog.workflow("hook") is None


APP = """
    from outlast import workflow

    async def app(scope, receive, send): ...
"""


def test_an_app_is_mounted_and_gives_way_to_workflows(project: Project) -> None:
    project.write("site.py", APP + "\n    @workflow\n    async def publish(): ...\n")
    catalog = project.load()
    assert set(project.served()) == {"site", "site/publish"}
    assert reached(project, "site") == ("site", "/")
    assert reached(project, "site/") == ("site", "/")
    assert reached(project, "site/a//b/../c") == ("site", "/a//b/../c")
    assert reached(project, "site/publish") == ("site/publish", "/")
    assert reached(project, "site/publish/x") == ("site", "/publish/x")
    assert catalog.resolve("site/a").served is catalog.resolve("site").served


def test_an_app_beside_a_workflow_of_the_files_name_gets_the_sub_paths(project: Project) -> None:
    project.write("site.py", APP + "\n    @workflow\n    async def site(): ...\n")
    catalog = project.load()
    assert project.served() == {"site": "WorkflowDefinition", "site/*": "function"}
    assert isinstance(catalog.resolve("site").served, WorkflowDefinition)
    assert not isinstance(catalog.resolve("site/a").served, WorkflowDefinition)


def test_an_app_may_come_from_elsewhere_and_be_any_callable(project: Project) -> None:
    project.write(
        "_shared/web.py",
        """
        class App:
            async def __call__(self, scope, receive, send): ...
        app = App()
        """,
    )
    project.write("site.py", "from _shared.web import app")
    project.write("folder/index.py", "from .web import app")
    project.write("folder/web.py", "async def app(scope, receive, send): ...")
    project.load()
    assert project.served() == {"folder": "function", "site": "App"}


def test_starlette_is_an_app(project: Project) -> None:
    project.write("site.py", "from starlette.applications import Starlette\napp = Starlette()")
    project.load()
    assert project.served() == {"site": "Starlette"}


def test_a_wsgi_app_is_refused_with_the_remedy(project: Project) -> None:
    project.write("flask.py", "def app(environ, start_response): ...")
    project.load()
    assert "functions/flask.py: app is no ASGI application" in project.error("flask")


def test_a_definition_or_a_value_named_app_is_no_asgi_app(project: Project) -> None:
    project.workflow("one.py", "app")
    project.write("two.py", "from outlast import workflow\napp = 'two'\n@workflow\nasync def two(): ...")
    project.load()
    assert project.served() == {"one": "WorkflowDefinition", "two": "WorkflowDefinition"}


def test_imported_definitions_are_not_served(project: Project) -> None:
    project.workflow("_shared/flows.py", "cleanup")
    project.workflow("other.py", "other")
    project.write(
        "checkout.py",
        """
        from outlast import workflow
        from _shared.flows import cleanup
        from functions.other import other

        @workflow
        async def checkout(): ...
        """,
    )
    project.load()
    assert set(project.served()) == {"checkout", "other"}


def test_definitions_of_a_functions_own_folder_are_its_own(project: Project) -> None:
    project.workflow("checkout/refunds.py", "refund")
    project.workflow("checkout/index.py", "checkout")
    project.write(
        "checkout/index.py",
        (project.folder / "checkout/index.py").read_text() + "\nfrom .refunds import refund",
    )
    project.load()
    assert set(project.served()) == {"checkout", "checkout/refund"}


def test_a_file_with_only_imported_definitions_serves_nothing(project: Project) -> None:
    project.workflow("_shared/flows.py", "cleanup")
    project.write("cleanup.py", "from _shared.flows import cleanup")
    project.load()
    assert "nothing to serve" in project.error("cleanup")


def test_nothing_to_serve_shows_an_example(project: Project) -> None:
    project.write("send-email.py", "x = 1")
    project.load()
    assert project.error("send-email") == (
        "functions/send-email.py: nothing to serve; for example:\n"
        "    from outlast import workflow\n"
        "    @workflow\n"
        '    async def send_email(): return "done"'
    )


def test_private_workflows_can_be_started_and_not_called(project: Project) -> None:
    project.write(
        "checkout.py",
        """
        from outlast import handler, workflow
        @workflow
        async def checkout(): ...
        @workflow
        async def _ship(): ...
        @handler
        async def _hidden(request): ...
        ship = _ship
        """,
    )
    catalog = project.load()
    assert set(project.served()) == {"checkout"}
    missing(project, "checkout/_ship")
    missing(project, "checkout/ship")
    assert sorted(catalog.workflow_names()) == ["checkout", "checkout/_ship"]
    ship = catalog.workflow("checkout/_ship")
    assert ship is not None
    assert catalog.name_of(ship) == "checkout/_ship"
    assert catalog.version("checkout/_ship") == catalog.version("checkout")


def test_a_workflow_of_two_names_is_served_once(project: Project) -> None:
    project.write(
        "checkout.py",
        """
        from outlast import workflow
        @workflow
        async def pay(): ...
        alias = pay
        """,
    )
    project.load()
    assert set(project.served()) == {"checkout"}


def test_lookups_by_name(project: Project) -> None:
    project.write(
        "checkout.py",
        """
        from outlast import workflow
        @workflow
        async def checkout(): ...
        @workflow
        async def refund(): ...
        """,
    )
    catalog = project.load()
    for name in ("checkout", "checkout/refund"):
        definition = catalog.workflow(name)
        assert definition is not None
        assert catalog.name_of(definition) == name
        assert catalog.version(name) == project.file("checkout").version
    assert catalog.workflow("nope") is None
    assert catalog.version("nope") is None
    assert len(project.file("checkout").version) == 12


def test_an_exact_target_is_made_once(project: Project) -> None:
    project.workflow("hello.py", "hello")
    catalog = project.load()
    target = catalog.resolve("hello")
    assert isinstance(target, Target)
    assert catalog.resolve("hello") is target
