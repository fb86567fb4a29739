"""The site: the README is its first page, and files outside docs/ that pages link to come along.

Links stay as they are in a checkout, relative to the page's place in the repository.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def _source(uri):
    """The place in the repository of a file of the site."""
    if uri == "index.md":
        return "README.md"
    return uri.removeprefix("repository/") if uri.startswith("repository/") else f"docs/{uri}"


def _uri(source):
    """The place in the site of a file of the repository."""
    if source == "README.md":
        return "index.md"
    return source.removeprefix("docs/") if source.startswith("docs/") else f"repository/{source}"


def _targets(source):
    """The files that a page links to, by the link as it is written."""
    links = [match[2] for match in LINK.finditer((ROOT / source).read_text("utf-8"))]
    return {link: posixpath.normpath(posixpath.join(posixpath.dirname(source), link)) for link in links}


def on_files(files, config):
    waiting, seen = ["README.md", *(_source(page.src_uri) for page in files.documentation_pages())], set()
    while waiting:
        source = waiting.pop()
        if source in seen or not (ROOT / source).is_file():
            continue
        seen.add(source)
        if not files.get_file_from_path(_uri(source)):
            files.append(File.generated(config, _uri(source), abs_src_path=str(ROOT / source)))
        if source.endswith(".md"):
            waiting += _targets(source).values()
    return files


def on_page_markdown(markdown, page, **_):
    uri = page.file.src_uri
    links = {
        link: posixpath.relpath(_uri(target), posixpath.dirname(uri) or ".")
        for link, target in _targets(_source(uri)).items()
    }
    return LINK.sub(lambda match: match[1] + links[match[2]], markdown)
