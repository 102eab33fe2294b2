"""Recognises access logs of web servers, which are no tables, and says how to make one of them."""

import re
import shlex
from collections import defaultdict
from pathlib import Path

from tierrec_core.base.errors import UnreadableFileError

_REQUEST = re.compile(r'(?:\S+ )?\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:]{8}[^]]*\] "(?:[A-Z]+ (/[^ ?"]*))?')
_MIN_SHARE, _MAX_LINES, _MAX_CHARACTERS, _SHOWN = 0.5, 1000, 2000, 80
_COMMAND = (
    r"""gzip -dcf {path} | python -c 'import csv, re, sys; found = re.compile(r"(\S+) \S+ \S+ \[([^]]+)\] """
    r"""\"GET {folder}([^ ?/\"]+)[^\"]*\" 200").search; csv.writer(sys.stdout).writerows([("user_id", "timestamp", """
    r""""item_id"), *(row.groups() for row in map(found, sys.stdin) if row)])' > {table}"""
)


def refuse_server_log(path: Path, text: str) -> None:
    """Raise UnreadableFileError, with a command that writes a table, for lines of an access log of Apache or nginx."""
    lines = [line[:_MAX_CHARACTERS] for line in text.splitlines() if line.strip()][:_MAX_LINES]
    requests = [found for line in lines if (found := _REQUEST.match(line))]
    if not lines or len(requests) < _MIN_SHARE * len(lines):
        return
    folder = _page_folder([found[1] or "" for found in requests])
    table = path.with_name(f"{path.name.partition('.')[0]}_views.csv")
    command = _COMMAND.format(path=shlex.quote(str(path)), folder=re.escape(folder), table=shlex.quote(str(table)))
    raise UnreadableFileError(
        f"{path}: is an access log of a web server (Apache or nginx), with lines such as {lines[0][:_SHOWN]!r}; wanted "
        "a table with columns of users, items and times\n"
        f"write one of the pages of products, here those below {folder}, with the address in place of the user, who is "
        f"better known by a login or a cookie, if the server logs one: {command}"
    )


def _page_folder(pages: list[str]) -> str:
    """The folder with most pages, but for files such as style.css."""
    found = defaultdict[str, set[str]](set)
    for folder, _, page in (page.rpartition("/") for page in pages):
        if page and "." not in page:
            found[f"{folder}/"].add(page)
    return max(found, key=lambda folder: len(found[folder]), default="/product/")
