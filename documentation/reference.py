"""The pages that are generated from code, by their paths in the site. Needs Django to be set up."""

from documentation import commands, endpoints, events, failures, results, tables


def pages() -> dict[str, str]:
    """The whole generated reference."""
    theirs = {each["operation"] for each in results.read().get("operations", ())}
    theirs |= {"createChatCompletion", "createEmbedding"}
    return {
        **endpoints.Endpoints(endpoints.document(), theirs).pages(),
        "reference/events.md": events.page(),
        "reference/errors.md": failures.page(),
        "reference/commands.md": commands.page(),
        "reference/tables.md": tables.page(),
        "reference/properties.md": results.page(),
    }
