"""`manage.py doctor`: looks at the installation and says what is wrong, and what to do. Exit code 1 if anything is."""

import json
import logging
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from assistant_site.doctor.examination import examine
from assistant_site.doctor.findings import State


class Command(BaseCommand):
    help = "Look at the whole installation and say what is wrong and what to do, a line each. Nothing is changed."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
        parser.add_argument("--ask-model", action="store_true", help="ask each model server for a few tokens, too")
        parser.add_argument("--url", default="", help="where the web process is, if not at HOST and PORT")

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # what fails is told below, once
        found = []
        try:
            for finding in examine(url=options["url"].rstrip("/"), asks_models=options["ask_model"]):
                found.append(finding)
                if not options["json"]:
                    self.stdout.write(str(finding))
        finally:
            logging.disable(before)
        worst = next(
            (state for state in (State.WRONG, State.WARNING) if state in {each.state for each in found}), State.WELL
        )
        if options["json"]:
            self.stdout.write(json.dumps({"state": worst, "findings": [asdict(each) for each in found]}, indent=2))
        else:
            counts = [f"{sum(each.state == state for each in found)} {state}" for state in State]
            self.stdout.write(f"{', '.join(counts)}.")
        if worst == State.WRONG:
            sys.exit(1)
