"""Whatever a record holds, a reader of Markdown shows it as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.changes.markdown import block, code, plain, table
from tasks.changes.texts import printable

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TEXTS = st.text(max_size=30) | st.text("`*_[]()<>|~\\#-+1. !&;:/@$ab\n", max_size=30)


def inline(markdown: str) -> list[tuple[str, str]]:
    """Return the pieces of a line, each with its type."""
    (paragraph,) = [token for token in READER.parse(markdown) if token.type == "inline"]
    return [(piece.type, piece.content) for piece in paragraph.children or []]


@given(TEXTS)
def test_plain_text_stays_text(text: str) -> None:
    assert inline(f"- x{plain(text)}x") == [("text", f"x{printable(text)}x")]


@given(TEXTS.filter(str.strip))
def test_code_stays_one_piece_of_code(text: str) -> None:
    (kind, content), *others = inline(f"- x {code(text)}")[1:]
    assert (kind, content.strip(), others) == ("code_inline", printable(text).strip(), [])


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_block_is_not_left_by_what_is_in_it(lines: list[str]) -> None:
    (fence,) = READER.parse(block(lines))
    assert (fence.type, fence.content.splitlines()) == ("fence", [printable(line) for line in lines])


@pytest.mark.parametrize("text", ["http://a.b", "see www.a.b", "ftp://x", "a@b.c", "<b>", "[a](b)", "~~a~~", "a|b"])
def test_nothing_is_left_that_the_ui_makes_a_link_or_markup_of(text: str) -> None:
    assert plain(text).replace("\\", "") == text
    assert plain(text) != text


def test_a_table_has_a_row_for_each_number() -> None:
    tokens = READER.parse(table([("scanned", "1"), (plain("a|b"), "2")]))
    cells = [token.content for token in tokens if token.type == "inline"]
    assert cells == ["what", "how many", "scanned", "1", "a|b", "2"]
