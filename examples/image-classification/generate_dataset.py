#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes an image data set that a model must really learn: twelve shapes, each drawn in a random colour, size, place and
rotation over a noisy two-colour background with distracting lines, saved as JPEG.

    generate_dataset.py OUTPUT [--count 12000] [--size 64] [--seed 1]

Layout as torchvision's ImageFolder wants it: OUTPUT/train/<class>/<number>.jpg and OUTPUT/validation/... (one sixth).
The same seed gives the same pixels. Run it again and it does nothing when the data set is complete; with other options it
makes the data set anew and removes the images that do not belong to it.
"""
import argparse
import math
import multiprocessing
import os
import re
import sys
import time

import numpy
from PIL import Image, ImageDraw

CLASSES = ['arrow', 'bars', 'circle', 'cross', 'crescent', 'hexagon', 'pentagon', 'ring', 'square', 'star', 'triangle', 'wave']
OVERSAMPLING = 2


def regular(corners, radius, inner=None):
    points = []
    steps = corners if inner is None else corners * 2
    for i in range(steps):
        length = radius if inner is None or i % 2 == 0 else inner
        angle = 2 * math.pi * i / steps
        points.append((length * math.cos(angle), length * math.sin(angle)))
    return points


def draw_shape(draw, name, centre, radius, angle, colour, background):
    cos, sin = math.cos(angle), math.sin(angle)

    def place(points):
        return [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in points]

    def disc(x, y, r, fill):
        (cx, cy), = place([(x, y)])
        draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=fill)

    r = radius
    if name == 'circle':
        disc(0, 0, r * 0.9, colour)
    elif name == 'ring':
        disc(0, 0, r, colour)
        disc(0, 0, r * 0.55, background)
    elif name == 'crescent':
        disc(0, 0, r, colour)
        disc(r * 0.5, 0, r * 0.8, background)
    elif name in ('triangle', 'square', 'pentagon', 'hexagon'):
        corners = {'triangle': 3, 'square': 4, 'pentagon': 5, 'hexagon': 6}[name]
        draw.polygon(place(regular(corners, r)), fill=colour)
    elif name == 'star':
        draw.polygon(place(regular(5, r, r * 0.4)), fill=colour)
    elif name == 'cross':
        w = r * 0.3
        draw.polygon(place([(-w, -r), (w, -r), (w, r), (-w, r)]), fill=colour)
        draw.polygon(place([(-r, -w), (r, -w), (r, w), (-r, w)]), fill=colour)
    elif name == 'arrow':
        w = r * 0.25
        draw.polygon(place([(-r, -w), (0, -w), (0, -r * 0.7), (r, 0), (0, r * 0.7), (0, w), (-r, w)]), fill=colour)
    elif name == 'bars':
        for offset in (-0.7, 0.0, 0.7):
            y, w = offset * r, r * 0.17
            draw.polygon(place([(-r, y - w), (r, y - w), (r, y + w), (-r, y + w)]), fill=colour)
    elif name == 'wave':
        points = [(-r + 2 * r * i / 24, r * 0.5 * math.sin(3 * math.pi * i / 24)) for i in range(25)]
        draw.line(place(points), fill=colour, width=max(2, int(r * 0.32)), joint='curve')


def make_image(index, size, seed):
    random = numpy.random.Generator(numpy.random.PCG64([seed, index]))
    big = size * OVERSAMPLING
    background = tuple(int(v) for v in random.integers(0, 256, 3))
    # A shape must be visible: at least some distance in colour from what is behind it.
    while True:
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        if sum(abs(a - b) for a, b in zip(colour, background)) > 150:
            break
    image = Image.new('RGB', (big, big), background)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(2, 6))):
        ends = random.integers(0, big, 4)
        draw.line([int(v) for v in ends], fill=tuple(int(v) for v in random.integers(0, 256, 3)), width=int(random.integers(1, 4)))
    radius = big * random.uniform(0.2, 0.36)
    centre = random.uniform(radius, big - radius, 2)
    draw_shape(draw, CLASSES[index % len(CLASSES)], centre, radius, random.uniform(0, 2 * math.pi), colour, background)
    image = image.resize((size, size), Image.BILINEAR)
    noisy = numpy.asarray(image, dtype=numpy.float32) + random.normal(0, random.uniform(4, 22), (size, size, 3))
    return Image.fromarray(numpy.clip(noisy, 0, 255).astype(numpy.uint8))


def make_file(arguments):
    index, path, size, seed = arguments
    make_image(index, size, seed).save(path, 'JPEG', quality=88)


def remove_stale(output, wanted):
    """Removes images of ours that are not among `wanted`: those of a larger data set made here before."""
    for part in ('train', 'validation'):
        for name in CLASSES:
            folder = os.path.join(output, part, name)
            for file in os.listdir(folder) if os.path.isdir(folder) else []:
                path = os.path.join(folder, file)
                if re.fullmatch(r'[0-9]{6,}\.jpg', file) and path not in wanted:
                    os.remove(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('output')
    parser.add_argument('--count', type=int, default=12000)
    parser.add_argument('--size', type=int, default=64)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    if options.count < len(CLASSES) * 6:
        parser.error(f'--count must be at least {len(CLASSES) * 6}, six images a class')
    stamp = os.path.join(options.output, '.complete')
    wanted = f'{options.count} {options.size} {options.seed}\n'
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        print(f'{options.output}: complete already')
        return
    # First, so that a run that is cut short leaves a data set that nobody takes for a complete one.
    if os.path.exists(stamp):
        os.remove(stamp)
    work = []
    for index in range(options.count):
        part = 'validation' if index // len(CLASSES) % 6 == 5 else 'train'
        folder = os.path.join(options.output, part, CLASSES[index % len(CLASSES)])
        os.makedirs(folder, exist_ok=True)
        work.append((index, os.path.join(folder, f'{index:06d}.jpg'), options.size, options.seed))
    remove_stale(options.output, {path for _, path, _, _ in work})
    began = time.time()
    with multiprocessing.Pool() as pool:
        for done, _ in enumerate(pool.imap_unordered(make_file, work, chunksize=64), 1):
            if done % 4000 == 0 or done == len(work):
                print(f'{done} of {len(work)} images, {done / (time.time() - began):.0f} a second', flush=True)
    open(stamp, 'w').write(wanted)


if __name__ == '__main__':
    sys.exit(main())
