"""Augmentation, plainly: one image, one pixel at a time, in Python's own numbers.

The truth that `pileus.data.transforms` is compared with, bit for bit. Nothing of the package is used but its specs. An
image is a list of rows of pixels, a pixel a list of values in 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pileus.spec.augment import Augment, Cutmix, Mixup, PadCrop, ResizedCrop

Image = list[list[list[int]]]
_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_AUGMENT = 2
_FLIP, _PAD_CROP, _RESIZED_CROP, _COLOUR, _CUTOUT, _MIX, _MIX_BOX, _WARP, _THICKNESS, _BLUR = range(1, 11)


def augmented(image: Image, key: int, spec: Augment, seed: int, epoch: int) -> Image:
    """All but mixing, in the fixed order."""
    if isinstance(spec.crop, PadCrop):
        image = pad_cropped(image, spec.crop, *draws(2, key, seed, epoch, _PAD_CROP))
    if isinstance(spec.crop, ResizedCrop):
        image = resized_cropped(image, spec.crop, draws(4, key, seed, epoch, _RESIZED_CROP))
    if spec.flip and draws(1, key, seed, epoch, _FLIP)[0] < spec.flip:
        image = [row[::-1] for row in image]
    if spec.rotate_deg or spec.scale or spec.shear or spec.shift or spec.warp:
        bounded = [2 * draw - 1 for draw in draws(6, key, seed, epoch)]
        image = affine(image, spec, bounded, [2 * draw - 1 for draw in draws(50, key, seed, epoch, _WARP)])
    if spec.thickness:
        image = thickened(image, spec.thickness, 2 * draws(1, key, seed, epoch, _THICKNESS)[0] - 1)
    if spec.blur:
        image = blurred(image, spec.blur, draws(1, key, seed, epoch, _BLUR)[0])
    if spec.brightness or spec.contrast or spec.saturation:
        image = coloured(image, spec, [2 * draw - 1 for draw in draws(3, key, seed, epoch, _COLOUR)])
    if spec.cutout:
        image = cut_out(image, spec.cutout, *draws(2, key, seed, epoch, _CUTOUT))
    return image


def pad_cropped(image: Image, spec: PadCrop, down: float, across: float) -> Image:
    height, width, channels = _shape(image)
    top, left = (math.floor(draw * (2 * spec.padding + 1)) - spec.padding for draw in (down, across))

    def pixel(row: int, column: int) -> list[int]:
        if spec.fill == "reflect":
            return image[_reflected(row, height)][_reflected(column, width)]
        return image[row][column] if 0 <= row < height and 0 <= column < width else [0] * channels

    return [[pixel(row + top, column + left) for column in range(width)] for row in range(height)]


def _reflected(place: int, size: int) -> int:
    place = abs(place)
    return place if place < size else 2 * (size - 1) - place


def resized_cropped(image: Image, spec: ResizedCrop, chances: Sequence[float]) -> Image:
    height, width, channels = _shape(image)
    area = (spec.area_min + chances[0] * (spec.area_max - spec.area_min)) * (height * width)
    lean = (2 * chances[1] - 1) * ((spec.aspect - 1) / (spec.aspect + 1))
    aspect = (1 + lean) / (1 - lean)
    tall = min(max(math.floor(math.sqrt(area / aspect) + 0.5), 1), height)
    wide = min(max(math.floor(math.sqrt(area * aspect) + 0.5), 1), width)
    top, left = math.floor(chances[2] * (height - tall + 1)), math.floor(chances[3] * (width - wide + 1))
    image = [row[left : left + wide] for row in image[top : top + tall]]
    rows, columns = _places(tall, height), _places(wide, width)

    def value(down: Fraction, across: Fraction, channel: int) -> int:
        total = Fraction(0)
        for row, part_down in _neighbours(down, tall):
            for column, part_across in _neighbours(across, wide):
                total += image[row][column][channel] * part_down * part_across
        return _half_up(total)

    return [[[value(down, across, c) for c in range(channels)] for across in columns] for down in rows]


def _places(size: int, new_size: int) -> list[Fraction]:
    """Pixel centres at halves; rounded to 1/256 pixel, halves to even."""
    places = ((1.0 / (new_size / size)) * (index + 0.5) - 0.5 for index in range(new_size))
    return [Fraction(round(min(max(place, 0.0), size - 1.0) * 256), 256) for place in places]


def _neighbours(place: Fraction, size: int) -> list[tuple[int, Fraction]]:
    lower = math.floor(place)
    return [(lower, 1 - (place - lower)), (min(lower + 1, size - 1), place - lower)]


def affine(image: Image, spec: Augment, bounded: Sequence[float], points: Sequence[float]) -> Image:
    """Doubles throughout, in the order in which they are written."""
    height, width, channels = _shape(image)
    half = bounded[0] * (spec.rotate_deg * (math.pi / 360))
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    slant = bounded[1] * spec.shear
    tall, wide = 1 + bounded[2] * spec.scale, 1 + bounded[3] * spec.scale
    upper = (cosine / tall, sine / tall)
    lower = ((-sine + slant * cosine) / wide, (cosine + slant * sine) / wide)

    def place(row: int, column: int) -> tuple[float, float]:
        down = row - (height - 1) / 2 - bounded[4] * spec.shift * height
        across = column - (width - 1) / 2 - bounded[5] * spec.shift * width
        y = upper[0] * down + upper[1] * across + (height - 1) / 2
        x = lower[0] * down + lower[1] * across + (width - 1) / 2
        if spec.warp:
            y += moved(points[:25], row, column) * (spec.warp * height)
            x += moved(points[25:], row, column) * (spec.warp * width)
        return min(max(y, -1.0), float(height)), min(max(x, -1.0), float(width))

    def moved(grid: Sequence[float], row: int, column: int) -> float:
        down, across = row * 4 / max(height - 1, 1), column * 4 / max(width - 1, 1)
        top, left = min(math.floor(down), 3), min(math.floor(across), 3)
        above, below = grid[5 * top :], grid[5 * top + 5 :]
        line = [above[c] * (1 - (down - top)) + below[c] * (down - top) for c in range(5)]
        return line[left] * (1 - (across - left)) + line[left + 1] * (across - left)

    def value(y: float, x: float, channel: int) -> int:
        top, left = math.floor(y), math.floor(x)
        corner = [[_or_black(image, top + r, left + c, channel) for c in (0, 1)] for r in (0, 1)]
        above, below = (pair[0] * (1 - (x - left)) + pair[1] * (x - left) for pair in corner)
        return round(above * (1 - (y - top)) + below * (y - top))

    return [
        [[value(*place(row, column), channel) for channel in range(channels)] for column in range(width)]
        for row in range(height)
    ]


def _or_black(image: Image, row: int, column: int, channel: int) -> int:
    return image[row][column][channel] if 0 <= row < len(image) and 0 <= column < len(image[0]) else 0


def thickened(image: Image, bound: float, bounded: float) -> Image:
    amount = round(bounded * (bound * 256))
    height, width, channels = _shape(image)
    extreme = max if amount > 0 else min

    def value(row: int, column: int, channel: int) -> int:
        rows, columns = range(max(row - 1, 0), min(row + 2, height)), range(max(column - 1, 0), min(column + 2, width))
        near = extreme(image[r][c][channel] for r in rows for c in columns)
        part = Fraction(abs(amount), 256)
        return _half_up(image[row][column][channel] * (1 - part) + near * part)

    return [[[value(row, column, c) for c in range(channels)] for column in range(width)] for row in range(height)]


def blurred(image: Image, bound: float, chance: float) -> Image:
    part = Fraction(round(chance * (bound * 256)), 256)
    height, width, channels = _shape(image)
    weights = [(shift, weight) for shift, weight in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True)]

    def mean(row: int, column: int, channel: int) -> int:
        total = 0
        for down, by_row in weights:
            for across, by_column in weights:
                r, c = min(max(row + down, 0), height - 1), min(max(column + across, 0), width - 1)
                total += image[r][c][channel] * by_row * by_column
        return _half_up(Fraction(total, 256))

    def value(row: int, column: int, channel: int) -> int:
        return _half_up(image[row][column][channel] * (1 - part) + mean(row, column, channel) * part)

    return [[[value(row, column, c) for c in range(channels)] for column in range(width)] for row in range(height)]


def coloured(image: Image, spec: Augment, bounded: Sequence[float]) -> Image:
    brightness, contrast, saturation = (
        round(draw * bound * 128)
        for draw, bound in zip(bounded, (spec.brightness, spec.contrast, spec.saturation), strict=True)
    )
    image = [[[_moved(value, 0, brightness) for value in pixel] for pixel in row] for row in image]
    values = [value for row in image for pixel in row for value in pixel]
    mean = _half_up(Fraction(sum(values), len(values)))
    image = [[[_moved(value, mean, contrast) for value in pixel] for pixel in row] for row in image]
    if not spec.saturation:
        return image
    return [[[_moved(value, _grey(pixel), saturation) for value in pixel] for pixel in row] for row in image]


def _grey(pixel: Sequence[int]) -> int:
    return _half_up(Fraction(77 * pixel[0] + 150 * pixel[1] + 29 * pixel[2], 256))


def _moved(value: int, anchor: int, change: int) -> int:
    return min(max(_half_up(value + (value - anchor) * Fraction(change, 128)), 0), 255)


def cut_out(image: Image, side: int, down: float, across: float) -> Image:
    height, width, channels = _shape(image)
    hidden = _box(down, side, height), _box(across, side, width)
    return [
        [[0] * channels if row in hidden[0] and column in hidden[1] else image[row][column] for column in range(width)]
        for row in range(height)
    ]


def _box(draw: float, side: int, size: int) -> range:
    start = math.floor(draw * size) - side // 2
    return range(start, start + side)


def mixed(
    image: Image, partner: Image, spec: Mixup | Cutmix, key: int, coordinates: tuple[int, int]
) -> tuple[Image, Fraction]:
    """The mixed image and the weight of its own label; `coordinates` is (seed, epoch)."""
    chances = draws(33, key, *coordinates, _MIX)
    weight = symmetric_beta(chances[1:], spec.alpha) if chances[0] < spec.probability else 1.0
    height, width, _ = _shape(image)
    if isinstance(spec, Mixup):
        own = Fraction(round(weight * 256), 256)
        values = [
            [
                [_half_up(a * own + b * (1 - own)) for a, b in zip(*pixels, strict=True)]
                for pixels in zip(*rows, strict=True)
            ]
            for rows in zip(image, partner, strict=True)
        ]
        return values, own
    down, across = draws(2, key, *coordinates, _MIX_BOX)
    length = math.sqrt(1 - weight)
    rows, columns = _box(down, round(length * height), height), _box(across, round(length * width), width)
    taken = [[row in rows and column in columns for column in range(width)] for row in range(height)]
    own = 1 - Fraction(sum(map(sum, taken)), height * width)
    return [
        [(partner if taken[row][column] else image)[row][column] for column in range(width)] for row in range(height)
    ], own


def symmetric_beta(chances: Sequence[float], alpha: float) -> float:
    """By the mathematical library, so equal to the package's to within its last bits."""
    powers = [math.pow(1 - chance, 1 / alpha) for chance in chances]
    half = len(powers) // 2
    pairs = list(zip(powers[:half], powers[half:], strict=True))
    one, other = next((pair for pair in pairs if sum(pair) <= 1), pairs[0])
    return one / (one + other)


def draws(count: int, key: int, *coordinates: int) -> list[float]:
    """`count` numbers in [0, 1) for a sample, of the stream of (seed, epoch) or (seed, epoch, family)."""
    start = 0
    for coordinate in (_AUGMENT, *coordinates):
        start = _scattered(start + _STEP + coordinate)
    base = _scattered(key ^ start)
    return [(_scattered(base + number * _STEP) >> 11) / 2**53 for number in range(1, count + 1)]


def _scattered(value: int) -> int:
    value &= _MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def _half_up(value: Fraction | int) -> int:
    return math.floor(value + Fraction(1, 2))


def _shape(image: Image) -> tuple[int, int, int]:
    return len(image), len(image[0]), len(image[0][0])
