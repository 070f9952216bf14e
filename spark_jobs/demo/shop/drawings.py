"""Drawings: the picture of a product of each kind, out of shapes."""

from collections.abc import Callable, Mapping

from PIL import Image

from spark_jobs.demo.shop.products import RGB, Product
from spark_jobs.demo.shop.sketch import (
    Look,
    Sketch,
    arc,
    darker,
    emblem,
    lighter,
    look_of,
    patterned,
)

_STEEL: RGB = (176, 180, 186)
_WOOD: RGB = (176, 128, 80)


def drawn_product(product: Product, seed: int) -> Image.Image:
    """Return the product on a transparent square canvas of ``SIZE`` pixels."""
    sketch = Sketch()
    _DRAWINGS[product.kind](sketch, look_of(product, seed))
    return sketch.finished()


def _phone(sketch: Sketch, look: Look) -> None:
    radius = look.between(0, 0.02, 0.09)
    sketch.box((0.14, 0.06, 0.52, 0.9), look.body, radius=radius)
    _phone_cameras(sketch, look)
    emblem(sketch, look.brand, (0.33, 0.62), 0.065)
    sketch.box((0.46, 0.12, 0.86, 0.96), darker(look.colour, 0.55), radius=radius)
    screen = patterned(lighter(look.second, 0.2), lighter(look.colour, 0.5), "diagonal", 3)
    sketch.box((0.485, 0.15, 0.835, 0.93), screen, radius=radius * 0.7)
    icons = look.choice(4, 3) + 2
    for row in range(icons):
        for column in range(4):
            left, top = 0.515 + column * 0.078, 0.34 + row * 0.1
            tint = lighter(look.second if (row + column) % 2 else look.colour, 0.6)
            sketch.box((left, top, left + 0.05, top + 0.055), tint, radius=0.012)
    sketch.box((0.6, 0.165, 0.72, 0.185), (15, 15, 18), radius=0.01)


def _phone_cameras(sketch: Sketch, look: Look) -> None:
    lenses = look.choice(1, 4) + 1
    dark = darker(look.colour, 0.5)
    if look.choice(2, 3) == 0:
        sketch.disc((0.33, 0.24), (0.13, 0.13), dark)
        spots = [
            (0.33 + 0.065 * x, 0.24 + 0.065 * y) for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1))
        ]
    elif look.choice(2, 3) == 1:
        sketch.box((0.18, 0.1, 0.28, 0.46), dark, radius=0.05)
        spots = [(0.23, 0.15 + 0.085 * step) for step in range(4)]
    else:
        sketch.box((0.17, 0.1, 0.42, 0.32), dark, radius=0.04)
        spots = [(0.235, 0.16), (0.355, 0.16), (0.235, 0.26), (0.355, 0.26)]
    for spot in spots[:lenses]:
        sketch.disc(spot, (0.038, 0.038), (12, 12, 16))
        sketch.disc(spot, (0.02, 0.02), (60, 90, 140))


def _headphones(sketch: Sketch, look: Look) -> None:
    width, high = look.between(0, 0.045, 0.1), look.between(1, 0.34, 0.42)
    sketch.stroke(arc((0.5, 0.52), (0.34, high), (180, 360)), look.colour, width=width)
    inner = arc((0.5, 0.54), (0.32, high - 0.03), (200, 340))
    sketch.stroke(inner, look.second, width=width * 0.45)
    for side in (-1, 1):
        _ear_cup(sketch, look, side)
    if look.choice(4, 3) == 0:  # a microphone on a boom
        sketch.stroke(arc((0.32, 0.66), (0.16, 0.24), (150, 80)), (40, 40, 44), width=0.025)
        sketch.disc((0.36, 0.895), (0.045, 0.03), look.second)
    elif look.choice(4, 3) == 1:  # a cable
        sketch.stroke(arc((0.42, 0.8), (0.26, 0.14), (180, 20)), (40, 40, 44), width=0.016)


def _ear_cup(sketch: Sketch, look: Look, side: int) -> None:
    x, wide, high = 0.5 + side * 0.32, look.between(2, 0.1, 0.15), look.between(3, 0.16, 0.22)
    pad = 0.5 + side * 0.25
    sketch.box((pad - 0.055, 0.64 - high, pad + 0.055, 0.64 + high), (52, 50, 54), radius=0.05)
    if look.choice(5, 2):
        sketch.disc((x, 0.64), (wide, high), look.body)
    else:
        sketch.box((x - wide, 0.64 - high, x + wide, 0.64 + high), look.body, radius=0.06)
    sketch.disc((x, 0.64), (wide * 0.78, wide * 0.78), look.second)
    emblem(sketch, look.brand, (x, 0.64), wide * 0.6)


def _kettle(sketch: Sketch, look: Look) -> None:
    top, wide = look.between(0, 0.14, 0.2), look.between(1, 0.24, 0.31)
    handle = [(0.68, 0.24), (0.86, 0.26), (0.9, 0.5), (0.76, 0.74)]
    if look.choice(4, 2):
        handle = arc((0.68, 0.5), (0.24, 0.25), (-80, 80))
    sketch.stroke(handle, darker(look.second, 0.3), width=look.between(2, 0.045, 0.075))
    if look.choice(3, 2):  # a gooseneck spout
        neck = [(0.28, 0.72), (0.15, 0.66), (0.13, 0.42), (0.05, 0.3)]
        sketch.stroke(neck, look.colour, width=0.055)
    else:
        sketch.polygon(
            [(0.36, 0.24), (0.12, 0.22), (0.3, 0.52)], darker(look.colour, 0.15), soft=0.01
        )
    body = [(0.48 - top, 0.2), (0.48 + top, 0.2), (0.48 + wide, 0.86), (0.48 - wide, 0.86)]
    sketch.polygon(body, look.body, soft=0.02)
    sketch.box((0.46 - wide, 0.85, 0.5 + wide, 0.93), (60, 60, 66), radius=0.02)
    sketch.disc((0.48, 0.2), (top + 0.02, 0.045), darker(look.colour, 0.35))
    sketch.disc((0.48, 0.14), (0.045, 0.045), look.second)
    if look.choice(5, 2):  # a water gauge
        sketch.box((0.56, 0.42, 0.62, 0.76), (190, 220, 235), radius=0.025)
        sketch.box((0.572, 0.56, 0.608, 0.75), (90, 160, 215), radius=0.015)
    emblem(sketch, look.brand, (0.43, 0.5), 0.085)


def _mug(sketch: Sketch, look: Look) -> None:
    taper, high = look.between(0, -0.04, 0.09), look.between(1, 0.5, 0.68)
    top = 0.88 - high
    middle = (top + 0.88) / 2
    if look.choice(2, 2):
        handle = arc((0.66, middle), (0.2, high * 0.3), (-90, 90))
    else:
        handle = [(0.64, top + 0.12), (0.88, top + 0.12), (0.84, 0.74), (0.64, 0.76)]
    sketch.stroke(handle, look.second, width=look.between(3, 0.05, 0.09))
    body = [(0.16, top), (0.7, top), (0.7 - taper, 0.88), (0.16 + taper, 0.88)]
    sketch.polygon(body, look.body, soft=0.02)
    sketch.disc((0.43, top), (0.27, 0.06), lighter(look.colour, 0.35))
    sketch.disc((0.43, top + 0.008), (0.235, 0.043), (82, 52, 34))
    bands = look.choice(4, 3)
    for band in range(bands):
        level = 0.8 - band * 0.07
        sketch.box((0.18 + taper * 0.8, level, 0.68 - taper * 0.8, level + 0.03), look.second)
    emblem(sketch, look.brand, (0.42, middle), 0.115)


def _shirt(sketch: Sketch, look: Look) -> None:
    sleeve, hem = look.between(0, 0.34, 0.6), look.between(1, 0.24, 0.3)
    for side in (-1, 1):
        edge = [(0.16, 0.12), (0.3, 0.14), (0.47, sleeve), (0.33, sleeve + 0.07), (0.2, 0.36)]
        paint = look.body if look.choice(2, 2) else look.second
        sketch.polygon([(0.5 + side * x, y) for x, y in edge], paint, soft=0.01)
    torso = [
        (0.24, 0.1),
        (0.76, 0.1),
        (0.73, 0.5),
        (0.5 + hem, 0.93),
        (0.5 - hem, 0.93),
        (0.27, 0.5),
    ]
    sketch.polygon(torso, look.body, soft=0.015)
    collar = look.choice(3, 3)
    if collar == 0:
        sketch.disc((0.5, 0.1), (0.14, 0.1), look.second)
        sketch.disc((0.5, 0.09), (0.11, 0.075), darker(look.colour, 0.6))
    elif collar == 1:
        sketch.polygon([(0.35, 0.08), (0.65, 0.08), (0.5, 0.34)], look.second)
        sketch.polygon([(0.39, 0.08), (0.61, 0.08), (0.5, 0.27)], darker(look.colour, 0.6))
    else:
        sketch.polygon([(0.34, 0.07), (0.5, 0.14), (0.42, 0.26)], look.second)
        sketch.polygon([(0.66, 0.07), (0.5, 0.14), (0.58, 0.26)], look.second)
        for button in range(3):
            sketch.disc((0.5, 0.2 + 0.07 * button), (0.014, 0.014), (240, 240, 240))
    if look.choice(4, 2):  # a pocket with the sign, or a large sign on the chest
        sketch.box((0.57, 0.34, 0.7, 0.48), darker(look.colour, 0.25), radius=0.015)
        emblem(sketch, look.brand, (0.635, 0.41), 0.055)
    else:
        emblem(sketch, look.brand, (0.5, 0.5), look.between(5, 0.09, 0.15))


def _sneaker(sketch: Sketch, look: Look) -> None:
    ankle = look.between(0, 0.16, 0.34)
    upper = [
        (0.08, ankle),
        (0.3, ankle + 0.02),
        (0.42, 0.42),
        (0.62, 0.5),
        (0.84, 0.58),
        (0.95, 0.72),
        (0.06, 0.74),
    ]
    sketch.polygon(upper, look.body, soft=0.02)
    sketch.disc((0.19, ankle + 0.015), (0.1, 0.03), darker(look.colour, 0.6))
    if look.choice(1, 2):  # a toe cap
        sketch.polygon(
            [(0.8, 0.55), (0.96, 0.64), (0.98, 0.76), (0.76, 0.76)], look.second, soft=0.02
        )
    stripes = look.choice(2, 4)
    for stripe in range(stripes):
        x = 0.36 + stripe * 0.075
        sketch.stroke([(x + 0.06, 0.5 + stripe * 0.02), (x, 0.73)], look.second, width=0.035)
    if stripes == 0:
        sketch.stroke([(0.28, 0.52), (0.42, 0.68), (0.72, 0.56)], look.second, width=0.05)
    for lace in range(look.choice(3, 3) + 3):
        x, y = 0.33 + lace * 0.055, ankle + 0.08 + lace * (0.5 - ankle) * 0.2
        sketch.stroke([(x - 0.02, y + 0.06), (x + 0.05, y)], (248, 248, 248), width=0.018)
    sole = look.between(4, 0.08, 0.15)
    paint = lighter(look.second, 0.75) if look.choice(5, 2) else darker(look.second, 0.2)
    sketch.box((0.04, 0.73, 0.98, 0.73 + sole), paint, radius=0.04)
    sketch.box((0.05, 0.73 + sole * 0.6, 0.97, 0.73 + sole), darker(look.colour, 0.5), radius=0.03)
    emblem(sketch, look.brand, (0.17, 0.56), 0.075)


def _backpack(sketch: Sketch, look: Look) -> None:
    round_by, wide = look.between(0, 0.06, 0.2), look.between(1, 0.25, 0.31)
    sketch.stroke(arc((0.5, 0.13), (0.1, 0.09), (180, 360)), darker(look.second, 0.2), width=0.035)
    for side in (-1, 1):
        x = 0.5 + side * (wide + 0.04)
        sketch.stroke(
            [(x, 0.26), (x + side * 0.07, 0.5), (x, 0.84)], darker(look.colour, 0.4), width=0.045
        )
        if look.choice(2, 2):
            sketch.box((x - 0.06, 0.56, x + 0.06, 0.84), look.second, radius=0.03)
    sketch.box((0.5 - wide, 0.11, 0.5 + wide, 0.93), look.body, radius=round_by)
    if look.choice(3, 2):  # a flap with buckles, or zips
        sketch.box(
            (0.49 - wide, 0.11, 0.51 + wide, 0.44), darker(look.colour, 0.22), radius=round_by
        )
        for x in (0.38, 0.62):
            sketch.box((x - 0.022, 0.34, x + 0.022, 0.56), _WOOD)
            sketch.box((x - 0.032, 0.47, x + 0.032, 0.53), _STEEL, radius=0.008)
    else:
        sketch.stroke(
            arc((0.5, 0.46), (wide * 0.82, 0.26), (180, 360)), (245, 245, 240), width=0.014
        )
    top = look.between(4, 0.56, 0.64)
    sketch.box((0.54 - wide, top, 0.46 + wide, 0.88), look.second, radius=0.05)
    sketch.stroke(
        [(0.57 - wide, top + 0.06), (0.43 + wide, top + 0.06)], (245, 245, 240), width=0.012
    )
    emblem(sketch, look.brand, (0.5, 0.3 if look.choice(5, 2) else top + 0.17), 0.085)


def _lamp(sketch: Sketch, look: Look) -> None:
    metal = (_STEEL, _WOOD, darker(look.second, 0.1))[look.choice(0, 3)]
    base, lean = look.between(1, 0.14, 0.24), look.between(2, -0.1, 0.1)
    stem = [(0.5, 0.9), (0.5 - lean, 0.62), (0.5, 0.4)]
    sketch.stroke(stem, metal, width=look.between(3, 0.03, 0.075))
    if look.choice(4, 2):
        sketch.disc((0.5, 0.9), (base, 0.055), darker(look.second, 0.1))
    else:
        sketch.box((0.5 - base, 0.85, 0.5 + base, 0.94), darker(look.second, 0.1), radius=0.02)
    shade = look.choice(5, 4)
    sketch.disc((0.5, 0.47), (0.2, 0.06), (255, 244, 190))
    if shade == 0:
        sketch.polygon(
            [(0.36, 0.08), (0.64, 0.08), (0.82, 0.48), (0.18, 0.48)], look.body, soft=0.01
        )
    elif shade == 1:
        sketch.disc((0.5, 0.28), (0.26, 0.23), look.body)
    elif shade == 2:
        sketch.box((0.22, 0.1, 0.78, 0.48), look.body, radius=0.03)
    else:
        sketch.polygon(
            [(0.2, 0.48), *arc((0.5, 0.46), (0.32, 0.36), (180, 360)), (0.8, 0.48)], look.body
        )
    sketch.box((0.24, 0.44, 0.76, 0.475), look.second)
    emblem(sketch, look.brand, (0.5, 0.28), 0.085)


_DRAWINGS: Mapping[str, Callable[[Sketch, Look], None]] = {
    "phone": _phone,
    "headphones": _headphones,
    "kettle": _kettle,
    "mug": _mug,
    "shirt": _shirt,
    "sneaker": _sneaker,
    "backpack": _backpack,
    "lamp": _lamp,
}
