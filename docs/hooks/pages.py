"""What mkdocs asks for when it builds the site: pages from elsewhere in the repository, and links that lead to them.

Documents link to files as they lie in the repository, so that links work where the repository is read. On the site
results, changelog, notebooks and the command line are pages; any other file that a page links to is copied.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import command_line
import notebooks
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
RESULTS = "benchmarks/results"
_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(\))")
_ROLE = re.compile(r":(?:attr|class|func|meth|mod):<code>~?(?:[\w.]*\.)?(\w+)</code>")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", flags=re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and the files that pages link to."""
    for name, uri in _PAGES.items():
        _add(files, config, uri, (ROOT / name).read_text(encoding="utf-8"), in_nav=True)
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        _add(files, config, _uri(path), notebooks.as_markdown(path), in_nav=True)
    results = sorted((ROOT / RESULTS).glob("*.md"))
    for path in results:
        _add(files, config, _uri(path), path.read_text(encoding="utf-8"))
    _add(files, config, "results/index.md", _results(results), in_nav=True)
    _add(files, config, "reference/command_line.md", command_line.overview(), in_nav=True)
    for word, verbs in command_line.groups().items():
        _add(files, config, f"reference/command_line/{word}.md", command_line.page(word, verbs))
    linked = _linked(files)
    for folder in sorted(path for path in linked if path.is_dir()):
        inside = sorted(path for path in folder.iterdir() if path.is_file())
        linked.update(inside)
        _add(files, config, _uri(folder), _listing(folder, inside))
    for path in sorted(path for path in linked if path.is_file()):
        files.append(File.generated(config, _uri(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links of the site."""

    def replaced(link: re.Match[str]) -> str:
        path = _target(page.file, link[2])
        if not path.exists():
            return link[0]  # mkdocs says that it leads nowhere
        uri = os.path.relpath(_uri(path), os.path.dirname(page.file.src_uri) or ".")
        return f"{link[1]}{uri}{link[3] or ''}{link[4]}"

    parts = _CODE.split(markdown)
    return "".join(part if place % 2 else _LINK.sub(replaced, part) for place, part in enumerate(parts))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write out what docstrings have for another renderer: ``Example::`` before code, and roles such as ``:class:``."""
    if page.file.src_uri != "reference/python.md":
        return html
    return _ROLE.sub(r"<code>\1</code>", html).replace("::</p>", ":</p>")


def _add(files: Files, config: MkDocsConfig, uri: str, content: str, in_nav: bool = False) -> None:
    level = InclusionLevel.INCLUDED if in_nav else InclusionLevel.NOT_IN_NAV
    files.append(File.generated(config, uri, content=content, inclusion=level))


def _uri(path: Path) -> str:
    """Where a file or folder of the repository is on the site."""
    inside = path.relative_to(ROOT).as_posix()
    if inside.startswith("docs/"):
        return inside.removeprefix("docs/")
    if inside == RESULTS:
        return "results/index.md"
    if inside.startswith(f"{RESULTS}/"):
        return f"results/{path.name}"
    if inside.startswith("examples/") and path.suffix == ".ipynb":
        return f"tutorials/{path.stem}.md"
    if path.is_dir():
        return f"files/{inside}/index.md"
    return _PAGES.get(inside, f"files/{inside}.txt" if path.suffix == ".md" else f"files/{inside}")


def _place(file: File) -> Path:
    """Where a page of the site comes from in the repository; made pages count as files of docs/."""
    if file.src_uri.startswith("results/"):
        return ROOT / RESULTS / Path(file.src_uri).name
    if file.src_uri.startswith("tutorials/"):
        return ROOT / "examples" / Path(file.src_uri).name
    if file.src_uri in _PAGES.values():
        return ROOT / file.src_uri
    return ROOT / "docs" / file.src_uri


def _target(file: File, link: str) -> Path:
    return Path(os.path.normpath(_place(file).parent / link))


def _linked(files: Files) -> set[Path]:
    """Files and folders of the repository that are no pages, and that a page links to."""
    known = {file.src_uri for file in files}
    found = set()
    for file in files.documentation_pages():
        for link in _LINK.finditer(_CODE.sub("", file.content_string)):
            path = _target(file, link[2])
            if path.exists() and path.is_relative_to(ROOT) and _uri(path) not in known:
                found.add(path)
    return found


def _listing(folder: Path, paths: list[Path]) -> str:
    lines = [f"# Files in `{folder.relative_to(ROOT)}`", ""]
    lines += [
        f"- [{path.name}]({os.path.relpath(path, ROOT / 'docs/files' / folder.relative_to(ROOT))})" for path in paths
    ]
    return "\n".join(lines) + "\n"


def _results(paths: list[Path]) -> str:
    lines = ["# Results", "", "What was measured, each with its command, machine, versions and what did not work.", ""]
    for path in paths:
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"
