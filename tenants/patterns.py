"""Names of models as operators write them: `*` stands for any characters."""

import re
from functools import lru_cache


@lru_cache(maxsize=4_096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.S)


def matches(pattern: str, name: str) -> bool:
    return _compiled(pattern).fullmatch(name) is not None
