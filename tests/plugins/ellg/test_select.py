import numpy as np
import pytest
import torch
from retinalab_ellg.balance import wanted_grades
from retinalab_ellg.blend import blended_severity
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.select import Candidates, NothingToCutError, Pair, Selection

from retinalab.errors import RetinalabError
from retinalab.tasks.severity import severity_grades


def _candidates(*counts: int, wrong: float = 0.2, seed: int = 0, **columns: object) -> Candidates:
    """A training part with so many photographs of each grade, a share of them misclassified."""
    rng = np.random.default_rng(seed)
    grade = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    predicted = np.where(rng.random(len(grade)) < wrong, (grade + 1) % 5, grade)
    severity = predicted + rng.uniform(-0.45, 0.45, len(grade))
    part = columns.get("part", ["train"] * len(grade))
    return Candidates(grade, predicted, severity, part)  # type: ignore[arg-type]


def _labels(pairs: list[Pair]) -> list[int]:
    given = torch.tensor(
        [[p.ratio, p.source_severity, p.target_severity] for p in pairs], dtype=torch.float64
    )
    return severity_grades(blended_severity(*given.unbind(1)), 5).tolist()


@pytest.mark.parametrize("labels", ["grade", "severity"])
@pytest.mark.parametrize("target", ["normal", "any"])
def test_every_pair_comes_out_as_the_grade_that_is_wanted(labels: str, target: str) -> None:
    candidates = _candidates(60, 12, 20, 6, 5)
    config = GenerationConfig(labels=labels, blend_target=target, number=80)  # type: ignore[arg-type]
    selection = Selection(candidates, config, (0, 1))
    assert len(selection) == 80
    assert selection.wanted is not None
    found = np.bincount(_labels(selection.pairs()), minlength=5)
    np.testing.assert_array_equal(found, selection.wanted)


@pytest.mark.parametrize("balance", ["label", "none"])
def test_only_correctly_classified_photographs_feed_it(balance: str) -> None:
    candidates = _candidates(40, 10, 14, 8, 8, wrong=0.5)
    config = GenerationConfig(number=60, balance=balance, blend_target="any")  # type: ignore[arg-type]
    for pair in Selection(candidates, config, (3,)).pairs():
        assert candidates.correct[[pair.source, pair.target]].all()
        assert candidates.grade[pair.source] > 0
        assert pair.source != pair.target
        assert pair.target_grade == candidates.grade[pair.target] == pair.target_severity
        assert pair.source_severity == candidates.grade[pair.source]


def test_targets_are_normal_unless_any_is_asked_for() -> None:
    candidates = _candidates(30, 10, 10, 10, 10)
    normal = Selection(candidates, GenerationConfig(number=50), (0,)).pairs()
    anything = Selection(candidates, GenerationConfig(number=50, blend_target="any"), (0,)).pairs()
    assert {pair.target_grade for pair in normal} == {0}
    assert len({pair.target_grade for pair in anything}) > 1


def test_a_pair_follows_from_key_number_and_attempt() -> None:
    candidates, config = _candidates(40, 10, 10, 10, 10), GenerationConfig(number=30)
    first, again = Selection(candidates, config, (7, 2)), Selection(candidates, config, (7, 2))
    assert [again.pair(number) for number in reversed(range(30))] == first.pairs()[::-1]
    assert Selection(candidates, config, (7, 3)).pairs() != first.pairs()
    other = first.pair(4, attempt=1)
    assert other.attempt == 1
    assert (other.source, other.target) != (first.pair(4).source, first.pair(4).target)
    assert _labels([other]) == _labels([first.pair(4)])


def test_ratios_keep_to_their_range_and_are_1_without_mixup() -> None:
    candidates = _candidates(40, 10, 10, 10, 10)
    drawn = Selection(candidates, GenerationConfig(number=40, ratio=(0.4, 0.9), balance="none"), (0,)).pairs()
    assert all(0.4 <= pair.ratio <= 0.9 for pair in drawn)
    pasted = Selection(candidates, GenerationConfig(number=40, mixup=False), (0,)).pairs()
    assert {pair.ratio for pair in pasted} == {1.0}
    assert _labels(pasted) == [int(pair.source_severity) for pair in pasted]


def test_ratios_without_balance_are_uniform() -> None:
    candidates = _candidates(40, 10, 10, 10, 10)
    ratios = [
        p.ratio for p in Selection(candidates, GenerationConfig(number=2000, balance="none"), (0,)).pairs()
    ]
    counts, _ = np.histogram(ratios, 10, (0, 1))
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


def test_the_rarest_grades_are_filled_first() -> None:
    can = np.array([False, True, True, True, True])
    counts = np.array([70, 10, 15, 3, 2])
    for number in range(0, 300, 7):
        wanted = wanted_grades(counts, number, 0.25, can)
        assert wanted.sum() == number
        assert wanted[0] == 0
        total = (counts + wanted)[can]
        raised = wanted[can] > 0
        if raised.any():  # one level, to within one photograph, and nothing rarer beside it
            assert total[raised].max() - total.min() <= 1


def test_a_number_that_follows_from_the_share_stops_at_balance() -> None:
    can = np.array([False, True, True])
    assert wanted_grades(np.array([10, 8, 9]), None, 10.0, can).tolist() == [0, 2, 1]
    assert wanted_grades(np.array([100, 0, 20]), None, 0.25, can).tolist() == [0, 25, 5]
    assert wanted_grades(np.array([100, 4, 20]), None, 0.5, ~can).tolist() == [0, 0, 0]


def test_a_grade_absent_from_training_is_noted_and_not_made() -> None:
    selection = Selection(_candidates(40, 10, 10, 0, 10), GenerationConfig(number=30), (0,))
    assert selection.wanted is not None
    assert selection.wanted[3] == 0
    assert selection.wanted.sum() == 30
    assert selection.notes == ["Grade 3 has no training photograph: none is generated."]


def test_a_grade_that_no_ratio_reaches_is_noted() -> None:
    candidates = _candidates(20, 6, 6, 6, 6, wrong=0.0)
    selection = Selection(candidates, GenerationConfig(number=12, ratio=(0.0, 0.5)), (0,))
    assert len(selection.notes) == 2
    assert selection.notes[0].startswith("Grade 3: no ratio within (0.0, 0.5)")
    assert selection.wanted is not None
    assert (selection.wanted[[0, 3, 4]] == 0).all()


def _few(grade: list[int], predicted: list[int]) -> Candidates:
    return Candidates(np.array(grade), np.array(predicted), np.zeros(len(grade)), ["train"] * len(grade))


def _refused(candidates: Candidates, config: GenerationConfig) -> str:
    with pytest.raises(NothingToCutError) as caught:
        Selection(candidates, config, (0,))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_to_cut_from_is_said_in_one_line() -> None:
    said = _refused(_few([0, 1, 2], [0, 0, 0]), GenerationConfig())
    assert "1 of 3 training photographs are correctly classified, none of them with lesions" in said
    assert said.endswith("Train the network longer.")


def test_nothing_to_blend_into_is_said_in_one_line() -> None:
    said = _refused(_few([0, 1, 2], [1, 1, 2]), GenerationConfig())
    assert "blend_target=normal, and no normal training photograph" in said
    assert said.endswith("or set blend_target=any.")
    said = _refused(_few([0, 2], [1, 2]), GenerationConfig(blend_target="any"))
    assert "no other training photograph" in said
    assert said.endswith("Train the network longer.")


@pytest.mark.parametrize(
    ("grade", "words"),
    [
        ([0, 0, 0], "cut lesions from: of 3 graded training photographs none has lesions. Train on some that have."),
        ([-1, -1, 0], "cut lesions from: of 1 graded training photographs none has lesions."),
        ([-1, -1], "cut lesions from: of 0 graded training photographs none has lesions."),
        ([1, 2, -1], "of 2 graded training photographs none is normal. Set blend_target=any."),
    ],
)  # fmt: skip
def test_what_no_training_can_mend_is_not_sent_to_train_longer(grade: list[int], words: str) -> None:
    said = _refused(_few(grade, grade), GenerationConfig())
    assert words in said
    assert "longer" not in said


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "generated. Train the network longer."),
        ({"ratio": (0.0, 0.6)}, "generated. Widen ratio, or train the network longer."),
        ({"mixup": False}, "generated. Set mixup=true, or train the network longer."),
    ],
)
def test_a_grade_that_no_blend_comes_to_is_noted_with_a_remedy_that_helps(
    options: dict[str, object], remedy: str
) -> None:
    """The only photograph of grade 4 is graded wrongly."""
    config = GenerationConfig.model_validate({"number": 5, **options})
    notes = Selection(_few([0, 0, 1, 3, 4], [0, 0, 1, 3, 2]), config, (0,)).notes
    (said,) = [note for note in notes if note.startswith("Grade 4: no ratio within")]
    assert said.endswith(remedy)


def test_grades_that_are_even_already_are_noted() -> None:
    selection = Selection(
        _few([0, 0, 1, 1, 2, 2, 3, 3, 4, 4], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]), GenerationConfig(), (0,)
    )
    assert len(selection) == 0
    assert selection.notes == [
        "No grade that can be made is rarer than the commonest: none is generated. Set number, or balance=none."
    ]


def test_other_parts_than_training_are_refused() -> None:
    with pytest.raises(RetinalabError, match="part test, val among those"):
        _candidates(3, 1, part=["train", "val", "test", "train"])
    with pytest.raises(RetinalabError, match="one entry for each photograph"):
        _candidates(3, 1, part=["train"])


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"threshold": (0.8, 0.5)}, "threshold must be"),
        ({"threshold": (0.5, 1.0)}, "threshold must end below 1"),
        ({"ratio": (0.0, 0.0)}, "ratio must reach above 0"),
        ({"ratio": (-0.1, 0.5)}, "ratio must be"),
        ({"layers": ()}, "layers must name"),
        ({"layers": ("layer4", "layer4")}, "each feature map once, got layer4, layer4"),
        ({"tries": 0}, "greater than or equal to 1"),
        ({"tau": 0.5}, "Extra inputs"),
        ({"gate": None}, "valid number"),
        ({"saliency": "grad-cam", "gate": 0.5}, "gate=0.5 has no effect: saliency=grad-cam has none"),
        ({"saliency": "cam", "layers": ("layer4",)}, "layers=.* has no effect: a class activation map"),
        ({"mixup": False, "ratio": (0.2, 0.5)}, "ratio=.* has no effect: mixup=false"),
        ({"shift": False, "unplaced": "drop"}, "unplaced=drop has no effect: shift=false"),
        ({"shift": False, "tries": 5}, "tries=5 has no effect: shift=false"),
        ({"number": 5, "share": 0.5}, "share=0.5 has no effect: number"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        GenerationConfig.model_validate(options)


@pytest.mark.parametrize(
    "options",
    [{"saliency": "grad-cam"}, {"mixup": False}, {"shift": False}, {"number": 5}, {"gate": 0}],
)
def test_options_are_read_back_as_they_were_written(options: dict[str, object]) -> None:
    config = GenerationConfig.model_validate(options)
    assert GenerationConfig.model_validate(config.model_dump(mode="json")) == config
