"""Buttons of a row's page that ask before they act: a form in a dialog, sent by POST."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin.utils import unquote
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
    be looked up by system checks, before there is a database.) `object_id` is the row's key, however the address that
    the browser came by writes it: lists write `run_5F…` for `run_…`.
    """
    decorator: Callable[[Button], Any] = action(
        description=title,
        icon=icon,
        permissions=[needs],
        variant=variant,
        dialog={"title": title, "description": question, "form_class": form, "form_submit_text": submit or title},
    )

    def decorate(press: Button) -> Any:
        @wraps(press)
        def pressed(page: Any, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
            return press(page, request, form, unquote(object_id))

        return decorator(pressed)

    return decorate


def done(request: HttpRequest, address: str) -> HttpResponse:
    """The answer of a button: the page that the browser goes to."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)
