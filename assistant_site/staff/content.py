"""Who of the staff may see what tenants and their users wrote: texts, prompts, names of files, what tools were given
and gave.
"""

from typing import Any

from django.conf import settings

PERMISSION = "runs.view_content"
HIDDEN = "hidden"


def is_shown_to(user: Any) -> bool:
    """Whether this user is shown content; with ADMIN_SHOWS_CONTENT off nobody is, superusers neither."""
    return bool(settings.ADMIN_SHOWS_CONTENT) and bool(user.has_perm(PERMISSION))
