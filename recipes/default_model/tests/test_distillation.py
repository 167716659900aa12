"""Distillation: a teacher's outputs are learned in addition to the labels."""

from dataclasses import fields

import pytest
import torch

from distillation import Teacher, distillation_loss, load_teacher
from leaning import leaning
from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import ClusterEnsemble, build_network
from napari_chromocluster.training.config import ConfigError, StageConfig
from recipe_config import RecipeConfig
from recipe_training import RecipeRun, trained
from small_training import small_training

COARSE = StageConfig("coarse", 1, 0.0, 2e-3, freeze_body=True, image_size=48)
FINE = StageConfig("fine", 2, 2e-3, 2e-3, image_size=48)
_SMALL = small_training(COARSE, FINE, samples_per_epoch=192, composed_clusters=0)
CONFIG = RecipeConfig(**{one.name: getattr(_SMALL, one.name) for one in fields(_SMALL)})


def of_one_mind(kind):
    """Return a network that predicts one type for everything."""
    return leaning([10.0 if kind == one else -10.0 for one in TYPES])


@pytest.fixture
def obsessed(tmp_path):
    """A model file that predicts overlapping for everything."""
    path = tmp_path / "obsessed.safetensors"
    network = of_one_mind(ClusterType.OVERLAPPING)
    save_model(path, network, ModelCard(name="obsessed", input_size=48))
    return path


def test_the_networks_of_a_model_teach_by_turns():
    kinds = (ClusterType.SINGLE, ClusterType.OVERLAPPING)
    teacher = Teacher([of_one_mind(kind) for kind in kinds])
    crops = torch.rand(3, 3, 48, 48)
    for turn, kind in enumerate(kinds * 2):
        answers = teacher.answers(crops, turn)
        assert answers.shape == (3, len(TYPES))
        torch.testing.assert_close(answers.sum(dim=1), torch.ones(3))
        assert answers.argmax(dim=1).tolist() == [TYPES.index(kind)] * 3


def test_what_teaches_does_not_learn():
    network = of_one_mind(ClusterType.SINGLE).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    answers = Teacher([network]).answers(torch.rand(4, 3, 48, 48), 0)
    assert not answers.requires_grad
    for name, value in network.state_dict().items():
        assert torch.equal(before[name], value)


def test_the_loss_is_least_where_both_say_the_same():
    answers = torch.tensor([[0.7, 0.2, 0.1]])
    any_type = torch.ones(1, 3)
    same = distillation_loss(answers.log(), answers, any_type)
    assert float(same) == pytest.approx(float(-(answers * answers.log()).sum()))
    assert distillation_loss(torch.tensor([[2.0, 0.0, 0.0]]), answers, any_type) > same
    assert distillation_loss(torch.zeros(1, 3), answers, any_type) > same


def test_the_label_counts_where_the_teacher_is_wrong():
    answers = torch.tensor([[0.9, 0.1, 0.0]])
    label = torch.tensor([[0.0, 1.0, 0.0]])
    like_teacher = torch.tensor([[5.0, 0.0, 0.0]])
    like_label = torch.tensor([[0.0, 5.0, 0.0]])
    assert distillation_loss(like_label, answers, label) < 0.1
    assert distillation_loss(like_teacher, answers, label) > 4


def test_wrong_answers_of_a_teacher_are_not_learnt(annotated, obsessed, tmp_path):
    """Few regions are overlapping, but the teacher predicts overlapping for all of them."""
    config = CONFIG.replace(
        annotations=(str(annotated),), teacher=str(obsessed), teacher_share=1.0, stages=(FINE,),
        monitor="accuracy",
    )  # fmt: skip
    model = trained(config, tmp_path / "run")
    prior = read_card(model).training_prior  # no reweighting of types
    matrix = evaluate(annotated, model, prior=prior, expected=None).confusion_matrix
    column = TYPES.index(ClusterType.OVERLAPPING)
    said = sum(row[column] for row in matrix) / sum(map(sum, matrix))
    assert said < 0.6


def test_a_head_that_learns_alone_needs_no_teacher(annotated, obsessed, tmp_path):
    """The features of a frozen body are computed once, so no crops remain for the teacher."""
    figures = []
    for teacher in (str(obsessed), None):
        config = CONFIG.replace(
            annotations=(str(annotated),), teacher=teacher, teacher_share=1.0, stages=(COARSE,)
        )
        run = RecipeRun(trained(config, tmp_path / str(len(figures))).parent)
        figures += [[e["metrics"] for e in run.events() if e["kind"] == "epoch"]]
    assert figures[0] == figures[1]


def test_a_teacher_of_other_crops_or_types_is_refused(annotated, tmp_path):
    path = tmp_path / "gray.safetensors"
    save_model(path, build_network("compact"), ModelCard(name="the gray one", channels="gray"))
    with pytest.raises(ConfigError, match="the gray one cannot teach this training"):
        load_teacher(CONFIG.replace(teacher=str(path)))
    four = tuple(str(kind) for kind in TYPES[:4])
    save_model(path, build_network("compact", 4), ModelCard(name="of four types", classes=four))
    with pytest.raises(ConfigError, match="of four types cannot teach"):
        load_teacher(CONFIG.replace(teacher=str(path)))


def test_none_is_loaded_where_none_is_wanted(obsessed):
    assert load_teacher(CONFIG) is None
    assert load_teacher(CONFIG.replace(teacher=str(obsessed), teacher_share=0.0)) is None
    path = obsessed.with_name("two.safetensors")
    two = [of_one_mind(kind) for kind in (ClusterType.SINGLE, ClusterType.OTHER)]
    save_model(path, ClusterEnsemble(two), ModelCard(name="two", input_size=48))
    teacher = load_teacher(CONFIG.replace(teacher=str(path)))
    assert teacher is not None
    assert len(teacher.networks) == 2
