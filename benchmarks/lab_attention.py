"""How the lab's UNet learns fastest on a CPU: fused attention against plain matrix products, in one run.

    OMP_NUM_THREADS=1 python benchmarks/lab_attention.py [ROUNDS]

Prints images per processor second of forward and backward pass at batch 128 for each way, interleaved, and the median
of the ratios; and that both ways give the same prediction.
"""

import statistics
import sys
import time

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from synthgap.lab.diffusion import Denoiser

BATCH = 128


def seconds(model: Denoiser, inputs: tuple[torch.Tensor, ...], half: bool) -> float:
    begun = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        prediction = model(*inputs)
    prediction.float().square().mean().backward()
    model.zero_grad()
    return time.process_time() - begun


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Denoiser(vocabulary=2503, text_width=128, channels=(64, 128), latent_channels=12, latent_size=8)
    model.unet.to(memory_format=torch.channels_last)
    noisy = torch.randn(BATCH, 12, 8, 8).contiguous(memory_format=torch.channels_last)
    inputs = (noisy, torch.randint(0, 1000, (BATCH,)), torch.randint(0, 2500, (BATCH, 64)))
    ways = {
        f"{name}, {precision}": (processor, precision == "bfloat16")
        for name, processor in (("fused", AttnProcessor2_0()), ("plain", AttnProcessor()))
        for precision in ("float32", "bfloat16")
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (processor, half) in ways.items():
            model.unet.set_attn_processor(processor)
            taken = seconds(model, inputs, half)
            if number:  # the first round warms up
                spent[name].append(taken)
    for name, taken in spent.items():
        print(f"{name:16} {BATCH / statistics.median(taken):6.1f} images per processor second")
    ratios = [a / b for a, b in zip(spent["fused, bfloat16"], spent["plain, bfloat16"], strict=True)]
    print(f"plain against fused, bfloat16: {statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})")
    with torch.inference_mode():
        model.unet.set_attn_processor(AttnProcessor())
        plain = model(*inputs)
        model.unet.set_attn_processor(AttnProcessor2_0())
        print(f"largest difference of the predictions: {(plain - model(*inputs)).abs().max():.1e}")


if __name__ == "__main__":
    main()
