"""The map's colours differ for the colour-blind, and contrast with the background."""

import re
from importlib.resources import files

import numpy as np
import pytest

# Machado, Oliveira and Fernandes (2009), severity 1, over linear RGB.
SIGHTS = {
    "full": np.eye(3),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.228], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]]
    ),
    "tritanopia": np.array(
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
SCHEMES = {"light": 0, "dark": 1}


def linear(colours: list[str]) -> np.ndarray:
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    scaled = rgb @ TO_XYZ.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def colours(name: str, scheme: str) -> list[str]:
    """Return the colours of a scheme whose names in the style sheet match ``--<name>``."""
    style = (files("spark_jobs.report") / "templates" / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(r"--ground:.*?--shadow", style, flags=re.DOTALL)
    return re.findall(rf"--{name}: (#\w{{6}})", blocks[SCHEMES[scheme]])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_colours_of_the_map_differ_visibly(scheme: str, sight: str) -> None:
    groups = colours(r"g\d", scheme)

    seen = lab(np.clip(linear(groups) @ SIGHTS[sight].T, 0, 1))

    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(len(groups), 1)]
    assert len(groups) == 9
    assert apart.min() > 15  # of CIE76; 2.3 is just noticeable side by side


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_mark_contrasts_with_the_background(scheme: str) -> None:
    marks, (ground,) = colours(r"g\d", scheme), colours("ground", scheme)

    light, below = (linear(c) @ TO_XYZ[1] for c in (marks, [ground]))

    contrast = (np.maximum(light, below) + 0.05) / (np.minimum(light, below) + 0.05)
    assert contrast.min() >= 3  # WCAG 1.4.11
