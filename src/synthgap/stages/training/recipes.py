"""The recipes, as data with their sources; what a spec sets differs from them."""

from __future__ import annotations

from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.core.specs import TrainRecipe, TrainSpec

RECIPES: dict[str, TrainRecipe] = {
    # Ours. timm's stems halve the image twice, so photographs of 32 pixels are enlarged to 64, once, before training.
    "small": TrainRecipe(
        model="test_resnet",
        model_args={},
        image_size=64,
        crop_share=1.0,
        epochs=30,
        batch_size=32,
        learning_rate=0.05,
        warmup=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        label_smoothing=0.1,
        average=0.0,
        augmentation="shift",
        precision="bfloat16",
    ),
    # S section 5: ResNet50, 100 epochs, SGD with momentum 0.9, batch 256, warm-up over 10 % of the iterations, cosine,
    # mixed precision, DINO's augmentation with 1 global and 8 local crops. S prints neither learning rate nor weight
    # decay: 0.1 and 1e-4 are those of PyTorch's reference recipe for ResNet50 at batch 256.
    "S": TrainRecipe(
        model="resnet50",
        model_args={},
        image_size=224,
        crop_share=0.875,
        epochs=100,
        batch_size=256,
        learning_rate=0.1,
        warmup=0.1,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-4,
        label_smoothing=0.0,
        average=0.0,
        augmentation="multi-crop",
        precision="bfloat16",
    ),
    # M footnote 1 ("follows Garden 2023") names no file; these are the numbers of the TF-vision model garden's
    # imagenet_resnetrs152_i256.yaml: 109,200 steps of 4,096 (350 epochs), 1,560 of them warm-up. M reports 80.8 %
    # on ImageNet, that file's head 83.1 %. RandAugment's magnitude 15 is the file's, its two layers the garden's default. The
    # file's activation is swish; timm's model has ReLU, as the ResNet-RS paper (arXiv:2103.07579).
    "M": TrainRecipe(
        model="resnetrs152",
        model_args={"drop_rate": 0.25},
        image_size=256,
        crop_share=0.875,
        epochs=350,
        batch_size=4096,
        learning_rate=1.6,
        warmup=1560 / 109_200,
        momentum=0.9,
        nesterov=False,
        weight_decay=4e-5,
        label_smoothing=0.1,
        average=0.9999,
        augmentation="randaug",
        randaug_layers=2,
        randaug_magnitude=15.0,
        precision="bfloat16",
    ),
}


def resolve(spec: TrainSpec) -> TrainRecipe:
    """The recipe of a spec with what the spec sets itself.

    Raises InputError for an unknown recipe.
    """
    if spec.recipe not in RECIPES:
        raise InputError(
            f"no recipe {spec.recipe!r}, expected one of {', '.join(RECIPES)}{nearest(spec.recipe, RECIPES)}"
        )
    recipe = RECIPES[spec.recipe]
    own: dict[str, Any] = {
        name: value for name in TrainRecipe.model_fields if (value := getattr(spec, name, None)) is not None
    }
    if "model" in own and own["model"] != recipe.model:
        own.setdefault("model_args", {})  # those of the recipe belong to its own architecture
    return recipe.model_copy(update=own)
