"""What differs between two responses is marked so that it can be read."""

from __future__ import annotations

import random

from app.differences import Segment, differences, marked, tokens


def test_chinese_is_compared_by_the_character_and_other_words_and_numbers_as_a_whole() -> None:
    assert tokens("每日2.5mg，ibuprofen 不可") == ["每", "日", "2.5", "mg", "，", "ibuprofen", " ", "不", "可"]


def test_one_changed_dose_is_the_only_thing_marked() -> None:
    first, second = differences("每次服用0.5克，每日三次。", "每次服用5克，每日三次。")
    assert [s.text for s in first if s.differs] == ["0.5"]
    assert [s.text for s in second if s.differs] == ["5"]


def test_what_only_one_of_them_says_is_marked_there_and_nothing_in_the_other() -> None:
    first, second = differences("请多喝水，不要饮酒。", "请多喝水。")
    assert first == (Segment("请多喝水", False), Segment("，不要饮酒", True), Segment("。", False))
    assert second == (Segment("请多喝水。", False),)


def test_equal_texts_have_no_difference_and_different_ones_nothing_else() -> None:
    assert differences("一样", "一样") == ((Segment("一样", False),), (Segment("一样", False),))
    assert differences("甲", "乙") == ((Segment("甲", True),), (Segment("乙", True),))
    assert differences("", "乙") == ((), (Segment("乙", True),))


def test_in_long_texts_that_have_little_in_common_nothing_is_marked() -> None:
    """A fifth in common: 20 of 100 characters. A third: 40 of 120."""
    first, second = "同" * 20 + "甲" * 80, "同" * 20 + "乙" * 80
    assert differences(first, second) == ((Segment(first, False),), (Segment(second, False),))
    ours, theirs = differences("同" * 40 + "甲" * 80, "同" * 40 + "乙" * 80)
    assert [s.text for s in (*ours, *theirs) if s.differs] == ["甲" * 80, "乙" * 80]


def test_a_single_equal_character_between_two_differences_does_not_break_them_up() -> None:
    first, _ = differences("发热头痛咳嗽", "腹泻头晕乏力")
    assert first == (Segment("发热头痛咳嗽", True),)


def test_the_segments_joined_are_the_text_again() -> None:
    rng = random.Random(5)
    for _ in range(300):
        texts = ["".join(rng.choices("药药水a b1.,。\n<", k=rng.randrange(30))) for _ in range(2)]
        for text, segments in zip(texts, differences(*texts), strict=True):
            assert "".join(segment.text for segment in segments) == text


def test_what_a_response_says_is_escaped() -> None:
    segments, _ = differences("<b>甲", "<b>乙")
    assert str(marked(segments)) == "&lt;b&gt;<mark>甲</mark>"


def test_texts_that_are_too_long_are_told_apart_by_how_they_begin_and_end() -> None:
    same = "药" * 9_999
    first, _ = differences(f"{same}甲水乙{same}", f"{same}丙水丁{same}")
    assert [s.text for s in first if s.differs] == ["甲水乙"]
    longer = "药" * 20_000
    first, second = differences(f"{longer}甲水水水乙{longer}", f"{longer}丙水水水丁{longer}")
    assert first == (Segment(longer, False), Segment("甲水水水乙", True), Segment(longer, False))
    assert second == (Segment(longer, False), Segment("丙水水水丁", True), Segment(longer, False))
    assert differences(longer * 2, longer * 2) == ((Segment(longer * 2, False),), (Segment(longer * 2, False),))
