"""What our own templates show."""

from django import template

from assistant_site import code

register = template.Library()


@register.simple_tag
def code_interpreter() -> code.State:
    """Whether code can be run here now."""
    return code.state()
