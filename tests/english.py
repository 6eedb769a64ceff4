"""Sentences of comments, docstrings and pages, as the checks of their English read them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_END = re.compile(r"(?<=[.!?])\s+")
_NO = re.compile(r"\b(?:is|are|was|were) no\b(?! longer)", re.IGNORECASE)
_SUBJECT = re.compile(r"(?:What|Who|Those|Whoever|Whatever|Whichever)\b")
# Marks before the first word of a sentence in Markdown: emphasis, links, a bold lead.
_LEAD = re.compile(r"(?:\*\*[^*]+\*\*\s*)?[\[*_\"(]*")


def of_source(source: str) -> Iterator[str]:
    """The sentences of a Python file: of its comments, blocks of lines being one text, and its docstrings."""
    block: list[str] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = token.line.lstrip().startswith("#")
            if not alone or token.start[0] != last + 1:
                yield from _split(block)
                block = []
            block.append(token.string.lstrip("#:"))
            last = token.start[0] if alone else -1
    yield from _split(block)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                yield from _split(paragraph.split("\n"))


def of_page(page: str) -> Iterator[str]:
    """The sentences of a Markdown page, headings, items and cells of tables included, code left out."""
    paragraph: list[str] = []
    code = False
    for line in page.split("\n"):
        text = line.strip()
        fence = text.startswith("```")
        code ^= fence
        if fence or code or not text or text.startswith(("#", "|", "- ", "* ")) or re.match(r"\d+\. ", text):
            yield from _split(paragraph)
            paragraph = []
        if text.startswith("|"):
            for cell in text.strip("|").split("|"):
                yield from _split([cell])
        elif not fence and not code:
            paragraph.append(re.sub(r"^(?:#+|[-*]|\d+\.) ", "", text))
    yield from _split(paragraph)


def _split(lines: Sequence[str]) -> Iterator[str]:
    text = " ".join(" ".join(lines).split())
    return (sentence for sentence in _END.split(text) if sentence)


def fault(sentence: str) -> str:
    """The fault of a sentence; empty for a good one. A question may begin with `what` or `who`."""
    if found := _NO.search(sentence):
        return f"{found[0]!r} in place of '{found[0]}t a'"
    plain = _LEAD.sub("", sentence, count=1)
    if _SUBJECT.match(plain) and not sentence.rstrip("*_)\"'").endswith("?"):
        return f"the subject is {plain.split()[0]!r}"
    return ""
