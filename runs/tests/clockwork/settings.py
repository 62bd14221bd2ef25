"""The installation's settings, with the clockwork in place of a sandbox."""

from assistant_site.settings import *  # noqa: F403
from assistant_site.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "runs.tests.clockwork.apps.ClockworkConfig"]
