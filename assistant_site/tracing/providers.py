"""Who answers at an address: `gen_ai.provider.name` in the words of the conventions."""

from urllib.parse import urlsplit

from assistant_site.tracing.spans import Value

_OF_HOSTS = {
    "openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "anthropic.com": "anthropic",
    "amazonaws.com": "aws.bedrock",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "cohere.com": "cohere",
    "cohere.ai": "cohere",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "mistral.ai": "mistral_ai",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
}


def asked_at(base_url: str) -> dict[str, Value | None]:
    """Attributes of a span that asks there: provider, host and port. Of whom nothing is known, the protocol is told."""
    try:
        place = urlsplit(base_url)
        host, port = place.hostname or "", place.port
    except ValueError:
        host, port = "", None
    parts = host.split(".")
    names = (".".join(parts[at:]) for at in range(len(parts) - 1))
    provider = next((_OF_HOSTS[name] for name in names if name in _OF_HOSTS), "openai")
    return {"gen_ai__provider__name": provider, "server__address": host or None, "server__port": port}
