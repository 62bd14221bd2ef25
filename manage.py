#!/usr/bin/env python
"""Django's command line for Holdfast."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assistant_site.settings")
    if sys.argv[1:] == ["up"]:  # without Django, for it runs as long as everything
        from assistant_site.embedded import up

        up.main()
        return
    from django.core.management import execute_from_command_line

    from assistant_site.embedded.commands import servers_for

    with servers_for(sys.argv):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
