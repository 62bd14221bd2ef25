"""The page `reference/tables.md`: the tables of the database as the models declare them."""

import inspect
from typing import Any

from documentation.contents import PROJECT


def models() -> dict[str, list[Any]]:
    """Our models by the names of their apps. Needs Django to be set up."""
    from django.apps import apps

    found: dict[str, list[Any]] = {}
    for config in apps.get_app_configs():
        if config.path.startswith(str(PROJECT)) and "site-packages" not in config.path:
            found[config.label] = [model for model in config.get_models() if model._meta.managed]
    return {label: declared for label, declared in sorted(found.items()) if declared}


def references(model: Any) -> list[tuple[Any, Any]]:
    """The columns that refer to rows of tables of ours, each with the other model."""
    ours = {each for declared in models().values() for each in declared}
    return [
        (field, field.related_model)
        for field in model._meta.get_fields()
        if field.concrete and field.is_relation and field.related_model in ours
    ]


def drawing(declared: list[Any]) -> str:
    """How the tables belong together, as a Mermaid diagram."""
    lines = ["erDiagram"]
    for model in declared:
        lines.append(f"    {model.__name__}")
        for field, other in references(model):
            if other.__name__ == "Tenant" and "tenants" not in str(model._meta.app_label):
                continue  # all have one: the drawing would be of nothing else
            left = "o|" if field.null else "||"
            right = "o|" if field.one_to_one else "o{"
            lines.append(f"    {other.__name__} {left}--{right} {model.__name__} : {field.name}")
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def _columns(model: Any) -> str:
    lines = ["| column | type | |", "| --- | --- | --- |"]
    from django.db import connection

    for field in model._meta.concrete_fields:
        notes = []
        if field.primary_key:
            notes.append("primary key")
        if field.is_relation and field.related_model is not None:
            notes.append(f"refers to `{field.related_model._meta.db_table}`")
        if field.null:
            notes.append("may be null")
        if field.unique and not field.primary_key:
            notes.append("unique")
        if field.help_text:
            notes.append(str(field.help_text))
        kind = field.db_type(connection) or type(field).__name__
        lines.append(f"| `{field.column}` | {kind} | {'; '.join(notes)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """All apps; connections to no database are made."""
    parts = [
        "# Tables\n\nThe database as the models of each app declare it. It is an inside of Holdfast and may "
        "change with any version; "
        "programs use the API. Tables with a `tenant_id` show a tenant's work that tenant's rows only "
        "([row-level security](../adr/0009-row-level-security.md)).\n"
    ]
    for label, declared in models().items():
        parts.append(f"## {label}\n\n{drawing(declared) if len(declared) > 1 else ''}")
        for model in declared:
            about = inspect.cleandoc(model.__doc__ or "")
            if about.startswith(f"{model.__name__}("):  # Django's own, out of the columns
                about = ""
            parts.append(f"### {model._meta.db_table}\n\n{about}\n\n{_columns(model)}")
    return "\n".join(parts)
