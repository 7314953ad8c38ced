"""The configuration of a classifier: one frozen dataclass, filled from YAML or in code."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from pks4_lightning.field_types import check_fields
from pks4_lightning.ranges import check_at_least

__all__ = [
    "ClassRoute",
    "Network",
    "PKS4Config",
    "PriorInit",
    "PriorPrecision",
    "Residual",
    "ScannerKind",
    "Temporal",
    "TsmShifts",
    "VariationEnds",
    "ZeroContext",
]

ClassRoute = Literal["none", "tsm", "token_t1d", "token_shift", "pooled_t1d"]
ScannerKind = Literal["mamba", "none", "gru", "attention"]
Residual = Literal["single", "post_prior", "literal"]
PriorInit = Literal["default", "small", "zero"]
PriorPrecision = Literal["autocast", "fp32"]
VariationEnds = Literal["zero", "negative"]
ZeroContext = Literal["self", "previous"]
TsmShifts = Literal["attention", "block"]

Temporal = Literal["pks4", "frame_average", "tsm", "st_adapter", "aim", "evl", "side4video"]
Network = Literal["videomamba_ti", "videomamba_s", "videomamba_m"]


@dataclass(frozen=True, kw_only=True)
class PKS4Config:
    """The architecture of a classifier, and the source of its weights.

    The defaults are the paper's main model (ViT-B/16, Section 4.2). With ``use_scanner``,
    ``use_variation`` and ``use_correlation`` all off there is no PKS^4 module: the baseline of
    Table 5.

    Args:
        num_classes: Number of action classes: 174 for Something-Something V2, 400 for Kinetics-400.
        backbone: Image transformer of a supported family: CLIP, MetaCLIP 2, SigLIP, SigLIP 2,
            DINOv2 (also with registers), DINOv3, ViT or AIMv2. A Hugging Face hub id, or a folder
            with ``config.json`` and the weights, of the transformer or of an image-text model that
            contains it.
        pretrained: Load the backbone's weights. Off: random weights, and nothing is downloaded if
            ``backbone_config`` is given.
        backbone_config: Fields of the backbone's ``config.json`` (``hidden_size``, ``patch_size``,
            ...; ``model_type`` names the family, CLIP if absent). With ``pretrained`` they override
            the backbone's own; without, they are the whole architecture. None uses the backbone's
            own.
        preprocessing: Preprocessing of frames: ``mean`` and ``std`` (RGB, for values from 0 to 1)
            and ``size`` (pixels). Values given here override ``preprocessor_config.json``. None:
            that file; without one, the data's settings, else the family's defaults.
        temporal: The temporal model. ``pks4`` is configured by ``class_route`` to ``dt_max``, which
            the others ignore. ``frame_average``: the mean over frames. ``tsm``: only a shift of
            patch tokens. ``st_adapter``, ``aim``, ``evl``, ``side4video``: the methods of Table 1,
            on a frozen CLIP or ViT tower.
        temporal_config: Settings of one of these four methods that differ from its defaults, named
            as in its class in :mod:`pks4_lightning.peers` (``d_adapter``, ``num_layers``, ...).
        network: A complete video network, used instead of an image transformer with a temporal
            model. ``backbone`` is then a published ``.pth`` file, and ``backbone_config`` gives the
            sizes that differ from the published ones (``hidden_size``, ``num_hidden_layers``,
            ``image_size``, ``patch_size``, ``num_frames``, ``d_state``, ``drop_path_rate``).
        class_route: How frames exchange information besides PKS^4 (Table 9). ``none``: not at all.
            ``tsm``: by a shift of patch tokens. ``token_t1d``: by a depthwise convolution of class
            tokens over time in every block. ``token_shift``: by a fixed shift of their channels.
            ``pooled_t1d``: by one such convolution of the frames' vectors; like ``none`` and
            ``tsm``, it also works with backbones without a class token (SigLIP, AIMv2).
        route_from: First block with a class-token route (or TSM's shift), counted from 1. The
            paper has one in every block. Frozen blocks (``recipe.trains``) must not have one.
        tsm_shifts: What TSM shifts in every block, for ``class_route`` or ``temporal`` ``tsm``: the
            input of the ``attention``, which leaves the residual stream unshifted, or the input of
            the ``block``, as in ATM's code.
        use_scanner: Insert the module: its scanner and the priors that feed it (Table 5).
        use_variation: Feed frame differences to the scanner (Equation 17).
        use_correlation: Feed local correlations to the scanner (Equation 15).
        scanner: The temporal model of PKS^4 after the priors. ``mamba``: the selective state space
            scanner KS4. The others are controls, not in the paper. ``none``: the priors act alone.
            ``gru`` and ``attention``: a recurrent network, or self-attention along time at every
            patch location, with the same number of parameters as the KS4 scanner, to within 1 %.
            ``my_module.MyScanner``: a module of your own, which is constructed with a width D and
            maps B T P D to the same shape; enable it with ``PKS4_ALLOW_IMPORTS=my_module``.
        bidirectional: Scan backwards in time too, with a second scanner (Table 7).
        causal: Use no later frames, so that the classifier can follow a stream frame by frame:
            routes and priors use past frames instead of both sides, with the same number of
            parameters. Not in the paper.
        insert_after: Backbone block after which PKS^4 is inserted, counted from 1 (Table 6). The
            paper gives 8 for ViT-B/16 and nothing for ViT-L/14, where 16 is the same depth.
        context_frames: Neighbouring frames used by the priors, half on each side; even (Table 8).
            If ``causal``, all of them are past frames.
        zero_context: The frame that each frame is compared with if ``context_frames`` is 0 (Table
            8): itself (``self``), so that its variation is zero, or the ``previous`` one.
        variation_ends: The variation to a neighbour beyond the clip: ``zero``, or ``negative``, the
            negated features of the frame, as if the clip were padded with frames of zeros.
        window_size: Side of the correlation's search window in patches; odd (Section 4.2).
        d_prior: Hidden width of both prior operators. The paper's parameter counts imply 64.
        d_state: State size of the scanner per channel (Section 4.2).
        d_conv: Taps of the scanner's causal convolution over time.
        expand: Inner width of the scanner as a multiple of the backbone's width.
        dt_rank: Rank of the scanner's step size projection. None means width / 16, rounded up.
        residual: What the scanner's output is added to. ``post_prior``: the tokens with their
            priors (the "+ u" of Equation 25). ``single``: the tokens before the priors (Equation
            5). ``literal``: both, as the two equations are printed.
        prior_init: Initialisation of the operators' last projections (Section 3.5.2).
            ``default``: PyTorch's, which gives untrained priors a large share of the tokens' norm.
            ``small``: a tenth of these values, so that a new module is near the identity.
            ``zero``: zero, exactly the identity.
        prior_precision: Precision of the reduced features, similarities and differences: that of
            the training (``autocast``), or float32 under any autocast (``fp32``), which preserves
            differences that are small compared with the features.
        dt_min: Smallest initial step size of a KS4 scanner; step sizes are drawn log-uniformly.
        dt_max: Largest initial step size of a KS4 scanner.
        grid_size: Rows and columns of patches in a frame of any size (the static tokens of
            StretchySnake): patches then have ``frame size / grid_size`` pixels.
            ``own``: the grid that the backbone was trained with, 14 for ViT-B/16. None: patches
            keep the backbone's own size, and larger frames have more of them.
        gradient_checkpointing: Recompute the backbone's blocks in the backward pass: less memory,
            about a third more time.
        compile: Compile the classifier with ``torch.compile`` at the first forward pass.

    Raises:
        ValueError: If a value has the wrong type or is out of range, or two settings exclude each
            other.
    """

    num_classes: int
    backbone: str = "openai/clip-vit-base-patch16"
    pretrained: bool = True
    backbone_config: dict[str, Any] | None = None
    preprocessing: dict[str, Any] | None = None
    temporal: Temporal = "pks4"
    temporal_config: dict[str, Any] | None = None
    network: Network | None = None
    class_route: ClassRoute = "token_t1d"
    route_from: int = 1
    tsm_shifts: TsmShifts = "attention"
    use_scanner: bool = True
    use_variation: bool = True
    use_correlation: bool = True
    scanner: ScannerKind | str = "mamba"
    bidirectional: bool = False
    causal: bool = False
    insert_after: int = 8
    context_frames: int = 4
    zero_context: ZeroContext = "self"
    variation_ends: VariationEnds = "zero"
    window_size: int = 9
    d_prior: int = 64
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    dt_rank: int | None = None
    residual: Residual = "post_prior"
    prior_init: PriorInit = "small"
    prior_precision: PriorPrecision = "autocast"
    dt_min: float = 0.001
    dt_max: float = 0.1
    grid_size: int | Literal["own"] | None = None
    gradient_checkpointing: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that no backbone supports, before any weights are read."""
        check_fields(self, prefix="model.classifier.")
        self._check_ranges()
        self._check_methods()
        self._check_module()

    def _check_ranges(self) -> None:
        sizes = ("d_prior", "d_state", "d_conv", "expand")
        names = ("num_classes", "route_from", "insert_after", *sizes)
        check_at_least(1, {f"model.classifier.{name}": getattr(self, name) for name in names})
        if self.dt_rank is not None and self.dt_rank < 1:
            raise ValueError(
                f"model.classifier.dt_rank is {self.dt_rank}; it must be at least 1, or null for "
                "width / 16."
            )
        if isinstance(self.grid_size, int) and self.grid_size < 1:
            raise ValueError(
                f"model.classifier.grid_size is {self.grid_size}; it must be at least 1, 'own' for "
                "the backbone's grid, or null for patches of the backbone's size."
            )
        if self.context_frames < 0 or self.context_frames % 2:
            raise ValueError(
                f"model.classifier.context_frames is {self.context_frames}; it must be even and "
                "not negative: half of the frames lie before a frame and half after it."
            )
        if self.window_size < 1 or self.window_size % 2 == 0:
            raise ValueError(
                f"model.classifier.window_size is {self.window_size}; it must be odd and positive: "
                "the window is centred on a patch."
            )
        if not 0 < self.dt_min <= self.dt_max:
            raise ValueError(
                f"model.classifier.dt_min is {self.dt_min}; it must be above 0 and at most dt_max "
                f"({self.dt_max})."
            )

    def _check_methods(self) -> None:
        if self.temporal_config is not None and self.temporal in ("pks4", "frame_average", "tsm"):
            raise ValueError(
                f"temporal_config ({self.temporal_config}) is for st_adapter, aim, evl and "
                f"side4video; temporal is {self.temporal}: leave it out."
            )
        if self.network is not None and self.temporal != "pks4":
            raise ValueError(
                f"network ({self.network}) takes the place of temporal ({self.temporal}): leave "
                "one of them out."
            )
        if self.causal and (self.network is not None or self.temporal not in ("pks4", "tsm")):
            raise ValueError(
                f"causal (true) is not possible for {self.network or self.temporal}: only pks4 and "
                "tsm can be restricted to past frames."
            )

    def _check_module(self) -> None:
        if self.causal and self.bidirectional:
            raise ValueError(
                "causal (true) and bidirectional (true) exclude each other: a backward scan sees "
                "every later frame."
            )
        for name in ("use_variation", "use_correlation", "bidirectional"):
            if getattr(self, name) and not self.use_scanner:
                raise ValueError(
                    f"{name} (true) needs the scanner: set use_scanner to true, or {name} to false."
                )
        if self.scanner not in get_args(ScannerKind) and not _names_a_class(self.scanner):
            raise ValueError(
                f"scanner ({self.scanner}) is neither one of {', '.join(get_args(ScannerKind))} "
                "nor the path of a class of your own, such as my_module.MyScanner."
            )
        if self.use_scanner and self.scanner == "none":
            self._check_priors_alone()
        if self.scanner == "attention" and (self.causal or self.bidirectional):
            raise ValueError(
                f"scanner (attention) reads the whole clip at once: set "
                f"{'causal' if self.causal else 'bidirectional'} to false."
            )

    def _check_priors_alone(self) -> None:
        if self.residual == "single":
            raise ValueError(
                "scanner (none) with residual single removes the whole module: leave residual "
                "at post_prior, which keeps the priors."
            )
        if not (self.use_variation or self.use_correlation):
            raise ValueError(
                "scanner (none) needs a prior: set use_variation or use_correlation to true, or "
                "use_scanner to false for a classifier without the module."
            )
        if self.bidirectional:
            raise ValueError("scanner (none) has no direction: set bidirectional to false.")


def _names_a_class(path: str) -> bool:
    names = path.split(".")
    return len(names) > 1 and all(name.isidentifier() for name in names)
