"""What a campaign rests on: a seed tells one story, and only broken words count as broken."""

from __future__ import annotations

from tests.chaos.claims import Claim, Claims
from tests.chaos.story import Story


def test_the_same_seed_draws_the_same_operations_and_faults() -> None:
    one, same, other = (Story(seed, terminals=2, operations=9, faults=9) for seed in (7, 7, 8))
    rounds = [[story.draw(shifts_clocks=True) for _ in range(3)] for story in (one, same, other)]
    assert rounds[0] == rounds[1] != rounds[2]


def claims(*said: tuple[int, int, str]) -> Claims:
    made = Claims()
    for began, ended, version in said:
        made.add(
            Claim(
                app="a", variable="V", began=began, ended=ended, said=f"it is {version}",
                holds=lambda now, version=version: now == version,
            )
        )  # fmt: skip
    return made


def test_of_words_one_after_another_the_last_one_counts() -> None:
    told = claims((0, 1, "v2"), (2, 3, "v3"))
    assert not told.broken("a", "V", "v1", "v3")
    assert "it is v3" in told.broken("a", "V", "v1", "v2")


def test_of_words_side_by_side_either_may_count_but_no_third() -> None:
    told = claims((0, 5, "v2"), (2, 3, "v3"))
    assert not told.broken("a", "V", "v1", "v2")
    assert not told.broken("a", "V", "v1", "v3")
    assert told.broken("a", "V", "v1", "v1")


def test_without_a_word_nothing_may_change() -> None:
    assert not claims().broken("a", "V", "v1", "v1")
    assert "nobody said" in claims().broken("a", "V", "v1", "v2")
