"""The lab: a miniature world that is real. Natural photographs, images of Stable Diffusion v1.4, and the recipe that trains a generator, an encoder and a judge on them."""
