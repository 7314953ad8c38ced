from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.batch import ClipSource
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.training.learning.recipe import Recipe
from pks4_lightning.training.learning.schedule import Schedule
from pks4_lightning.training.task import VideoClassificationTask
from tests.helpers.towers import TINIER_TOWER

K = 6
CONFIG = PKS4Config(
    num_classes=K,
    pretrained=False,
    backbone_config=TINIER_TOWER,
    insert_after=1,
    d_prior=8,
    d_state=4,
)


def task(config=CONFIG, **recipe):
    torch.manual_seed(0)
    built = VideoClassificationTask(config, Recipe(**recipe))
    built.configure_model()
    return built.eval()


def batch(size=4):
    generator = torch.Generator().manual_seed(1)
    return {
        "video": torch.randn(size, 3, 2, 16, 16, generator=generator),
        "label": torch.arange(size) % K,
        "video_index": torch.arange(size),
        "view_index": torch.zeros(size, dtype=torch.long),
        "valid": torch.ones(size, dtype=torch.bool),
        "draw_seed": torch.arange(size),
        "video_path": [f"{i}.webm" for i in range(size)],
        "failure": [""] * size,
    }


# without a trainer there is nowhere to log to
@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
class TestPrefixLoss:
    def test_adds_the_mean_over_all_prefixes(self):
        ours = task(replace(CONFIG, causal=True), prefix_loss=0.5, mix_prob=0.0)
        ours.train()
        for module in ours.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()  # batch statistics of a prefix differ from those of the whole clip
        given = batch()
        of_prefixes = [
            F.cross_entropy(
                ours(given["video"][:, :, :t])[:, -1], given["label"], label_smoothing=0.1
            )
            for t in (1, 2)
        ]
        expected = of_prefixes[-1] + 0.5 * sum(of_prefixes) / 2
        torch.testing.assert_close(ours.training_step(given, 0), expected)

    def test_is_added_also_where_only_the_head_learns(self):
        causal = replace(CONFIG, causal=True)
        losses = []
        for weight in (0.0, 0.5):
            ours = task(causal, prefix_loss=weight, mix_prob=0.0, trains="head").train()
            ours.on_train_start()
            losses.append(ours.training_step(batch(), 0))
        assert losses[0] != losses[1]

    def test_is_refused_where_frames_see_later_ones(self):
        with pytest.raises(ValueError, match="causal true"):
            task(prefix_loss=0.5)


# without a trainer there is nowhere to log to
@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
class TestLoss:
    def test_is_cross_entropy_with_smoothed_labels(self):
        ours = task(label_smoothing=0.2, mix_prob=0.0)
        given = batch()
        log_scores = ours(given["video"]).log_softmax(-1)
        smoothed = 0.8 * F.one_hot(given["label"], K) + 0.2 / K
        torch.testing.assert_close(
            ours.training_step(given, 0), -(smoothed * log_scores).sum(-1).mean()
        )

    def test_of_a_validation_is_the_cross_entropy_over_all_its_batches(self):
        ours = task()
        given = batch(5)
        with torch.no_grad():
            expected = F.cross_entropy(ours(given["video"]), given["label"])
            for rows in (slice(0, 3), slice(3, 5)):
                ours.validation_step({name: value[rows] for name, value in given.items()}, 0)
        torch.testing.assert_close(ours.val_loss.compute(), expected)

    def test_reaches_every_parameter(self):
        ours = task().train()
        # a zero output projection blocks the gradients of preceding layers until the first step
        torch.nn.init.normal_(ours.classifier.pks4.scanner.out_proj.weight, std=0.1)
        ours.training_step(batch(), 0).backward()
        without = [n for n, p in ours.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []

    def test_mixture_depends_on_the_batch_number_not_on_earlier_draws(self):
        ours = task()
        first = ours.training_step(batch(), 3)
        torch.rand(100)
        assert torch.equal(ours.training_step(batch(), 3), first)
        assert not torch.equal(ours.training_step(batch(), 4), first)


# without a trainer there is nowhere to log to
@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
class TestTrainingAfterInsertion:
    LATE = replace(CONFIG, route_from=2)

    def test_leaves_the_tower_up_to_there_unchanged_and_saves_no_activations_of_it(self):
        ours = task(self.LATE, trains="after_insertion")
        torch.nn.init.normal_(ours.classifier.pks4.scanner.out_proj.weight, std=0.1)
        ours.train()
        ours.on_train_start()
        kept = []
        first, second = ours.classifier.backbone.vision_model.encoder.layers
        first.register_forward_hook(
            lambda _b, _a, out: kept.append(out.requires_grad), prepend=True
        )
        assert not first.training
        assert second.training
        ours.training_step(batch(), 0).backward()
        assert kept == [False], "no graph, so no activations"
        learns = {
            name for name, p in ours.named_parameters() if p.grad is not None and p.grad.any()
        }
        prefixes = ("embeddings", "pre_layrnorm", "encoder.layers.0.")
        frozen = tuple(f"classifier.backbone.vision_model.{each}" for each in prefixes)
        assert learns == {n for n, _ in ours.named_parameters() if not n.startswith(frozen)}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"route_from": 1}, "set --model.classifier.route_from 2"),
            ({"temporal": "aim"}, "set recipe.trains to all or head"),
        ],
    )
    def test_is_refused_where_frames_meet_before(self, changes, message):
        with pytest.raises(ValueError, match=message):
            task(replace(self.LATE, **changes), trains="after_insertion")


# without a trainer there is nowhere to log to
@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
def test_a_probe_finds_out_how_many_clips_fit(monkeypatch):
    ours = task(trains="head", clips_per_pass="auto").train()
    ours.on_train_start()
    assert {name for name, part in ours.classifier.named_modules() if part.training} == {""}
    forward = ours.classifier.forward

    def full(video, patch_size=None):
        if len(video) > 2:
            raise torch.OutOfMemoryError
        return forward(video, patch_size)

    monkeypatch.setattr(ours.classifier, "forward", full)
    ours.training_step(batch(), 0).backward()
    assert ours.passes.at_once == 2


def test_building_twice_keeps_the_first_model():
    ours = task()
    before = ours.classifier
    ours.configure_model()
    assert ours.classifier is before


def test_top5_of_fewer_than_five_classes_is_every_class():
    ours = VideoClassificationTask(PKS4Config(num_classes=3, pretrained=False))
    ours.test_metrics.update(torch.eye(3), torch.tensor([1, 2, 0]))
    values = ours.test_metrics.compute()
    assert (values["test/video_top1"], values["test/video_top5"]) == (0, 1)


def test_accuracy_is_exact_over_uneven_batches():
    ours = task()
    scores = torch.eye(K)[[0, 1, 2, 3, 0, 0, 0]]
    label = torch.tensor([0, 1, 2, 3, 4, 5, 1])
    for part in (slice(0, 5), slice(5, 7)):
        ours.test_metrics.update(scores[part], label[part])
    assert ours.test_metrics.compute()["test/video_top1"] == torch.tensor(4 / 7)


def test_the_data_module_fits_the_tasks_protocol():
    assert isinstance(VideoDataModule("."), ClipSource)


def test_plain_values_rebuild_the_task():
    """A checkpoint stores such values."""
    saved = {}
    ours = task(base_lr=0.5)
    ours.on_save_checkpoint(saved)
    again = VideoClassificationTask(**saved["hyper_parameters"])
    assert again.recipe == ours.recipe
    again.configure_model()
    again.load_state_dict(ours.state_dict())
    video = batch()["video"]
    assert torch.equal(again.eval()(video), ours(video))


def test_embeddings_and_routes_may_train_as_in_atm():
    """ATM's layer decay covers blocks but not embeddings; its weight decay includes routes."""
    settings = {}
    for name, recipe in {
        "ours": {},
        "full": {"embedding_rate": "full"},
        "spared": {"decay_class_route": False},
    }.items():
        ours = task(layer_decay=0.5, weight_decay=0.1, **recipe)
        ours.schedule = Schedule(
            accumulation=1,
            videos_per_step=4,
            steps_per_epoch=10,
            total_steps=100,
            warmup_steps=10,
            peak_lr=1.0,
        )
        names = {id(parameter): key for key, parameter in ours.classifier.named_parameters()}
        settings[name] = {
            names[id(parameter)]: (group["initial_lr"], group["weight_decay"])
            for group in ours.configure_optimizers()["optimizer"].param_groups
            for parameter in group["params"]
        }
    tower = "backbone.vision_model.embeddings."
    position, route = f"{tower}position_embedding.weight", "class_route.0.before_mlp.weight"
    assert settings["ours"][position] == (0.125, 0.0)
    assert settings["ours"][route] == (1.0, 0.1)
    changed = {
        name: {key for key, value in each.items() if value != settings["ours"][key]}
        for name, each in settings.items()
    }
    assert changed["full"] == {position, f"{tower}class_embedding"}
    assert settings["full"][position] == (1.0, 0.0)
    assert changed["spared"] == {
        f"class_route.{block}.before_{place}.weight"
        for block in range(2)
        for place in ("attention", "mlp")
    }
    assert settings["spared"][route] == (1.0, 0.0)
