"""Database errors for the log: PostgreSQL's further lines repeat values, and those may be somebody's words."""


def first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
