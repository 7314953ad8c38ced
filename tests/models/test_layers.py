from pks4_lightning.models.layers import layer_ids, no_weight_decay_names


def test_every_parameter_has_a_layer(make_classifier):
    classifier = make_classifier()
    assert set(layer_ids(classifier)) == {name for name, _ in classifier.named_parameters()}


def test_layers_count_from_the_pixels(make_classifier):
    ids = layer_ids(make_classifier())
    tower = "backbone.vision_model."
    for name in (
        "embeddings.class_embedding",
        "embeddings.patch_embedding.weight",
        "embeddings.position_embedding.weight",
        "pre_layrnorm.weight",
        "pre_layrnorm.bias",
    ):
        assert ids[tower + name] == 0
    assert ids[tower + "encoder.layers.0.mlp.fc1.weight"] == 1
    assert ids[tower + "encoder.layers.2.layer_norm2.bias"] == 3
    blocks = [depth for name, depth in ids.items() if ".encoder.layers." in name]
    assert sorted(set(blocks)) == [1, 2, 3]


def test_what_is_new_or_after_the_blocks_learns_at_the_full_rate(make_classifier):
    ids = layer_ids(make_classifier())
    full = {name for name, depth in ids.items() if depth is None}
    expected = {name for name in ids if name.startswith(("pks4.", "class_route.", "head."))} | {
        "backbone.vision_model.post_layernorm.weight",
        "backbone.vision_model.post_layernorm.bias",
        "backbone.visual_projection.weight",
    }
    assert full == expected


def test_decay_spares_one_dimensional_parameters_embeddings_and_state_matrices(make_classifier):
    classifier = make_classifier(bidirectional=True)
    expected = {name for name, parameter in classifier.named_parameters() if parameter.ndim <= 1}
    expected |= {
        "backbone.vision_model.embeddings.position_embedding.weight",
        "pks4.scanner.A_log",
        "pks4.backward_scanner.A_log",
    }
    assert no_weight_decay_names(classifier) == expected
    assert "pks4.scanner.dt_proj.bias" in expected
    assert "backbone.vision_model.embeddings.class_embedding" in expected
