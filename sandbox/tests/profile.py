"""Runs a program under a container's seccomp profile, without a container.

`python -m sandbox.tests.profile FILE PROGRAM …` does as the container's engine: the profile's system calls are
allowed, every other one fails, and nothing gains privileges.
"""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pyseccomp

OPERATORS = {"SCMP_CMP_EQ": pyseccomp.EQ, "SCMP_CMP_NE": pyseccomp.NE, "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ}


def load(profile: dict[str, Any]) -> None:
    """Put this process under the profile, for good."""
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    loaded = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(profile.get("defaultErrnoRet", errno.EPERM)))
    for rule in profile["syscalls"]:
        assert not rule.get("includes")
        allows = rule["action"] == "SCMP_ACT_ALLOW"
        action = pyseccomp.ALLOW if allows else pyseccomp.ERRNO(rule["errnoRet"])
        arguments = [
            pyseccomp.Arg(each["index"], OPERATORS[each["op"]], each["value"]) for each in rule.get("args", [])
        ]
        for name in rule["names"]:
            try:
                loaded.add_rule(action, name, *arguments)
            except (ValueError, OSError):  # of another processor, or newer than this libseccomp
                continue
    loaded.load()


if __name__ == "__main__":
    load(json.loads(Path(sys.argv[1]).read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])
