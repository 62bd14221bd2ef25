"""What our own templates show."""

from django import template

from assistant_site import code
from tools.web_search import checks

register = template.Library()


@register.simple_tag
def code_interpreter() -> code.State:
    """Whether code can be run here now."""
    return code.state()


@register.simple_tag
def web_search_notices() -> list[str]:
    """What is wrong with web search's settings, a sentence each."""
    return checks.notices()
