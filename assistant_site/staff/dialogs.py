"""Buttons of a row's page that ask before they act: a form in a dialog, sent by POST."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

Button = Callable[..., HttpResponse]


def button(
    title: str,
    question: str,
    *,
    icon: str,
    needs: str = "operate",
    form: type[BaseDialogForm] = BaseDialogForm,
    submit: str = "",
    variant: ActionVariant = ActionVariant.DEFAULT,
) -> Callable[[Button], Any]:
    """Makes a method (request, form, object_id) a button: `title` on it, `question` in its dialog.

    `needs`: the right to `operate` on such rows or to `erase` them, see `pages.Page`. (Whole names of permissions would
    be looked up by system checks, before there is a database.)
    """
    decorator: Callable[[Button], Any] = action(
        description=title,
        icon=icon,
        permissions=[needs],
        variant=variant,
        dialog={"title": title, "description": question, "form_class": form, "form_submit_text": submit or title},
    )
    return decorator


def done(request: HttpRequest, address: str) -> HttpResponse:
    """The answer of a button: the page that the browser goes to."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)
