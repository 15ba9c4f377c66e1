#!/usr/bin/python3
"""colours.py page.css: what is wrong with the page's colours, light and dark; nothing, if nothing is.

Two kinds of memory must be told apart by everybody: with normal sight, and without red, green or blue
cones (Machado, Oliveira, Fernandes 2009, severity 1.0), by a CIE76 difference of 15 at least. Text has
the contrast of WCAG 2.1 AA."""
import itertools
import re
import sys

KINDS = "live held other stack unknown file shared kernel vmaheap".split()
SIGHT = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    if len(colour) == 4:
        colour = "#" + "".join(c * 2 for c in colour[1:])
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def luminance(rgb):
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


def lab(rgb, sight):
    r, g, b = (min(1, max(0, sum(x * y for x, y in zip(row, rgb)))) for row in sight)
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, luminance([r, g, b]),
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def contrast(a, b):
    low, high = sorted((luminance(linear(a)), luminance(linear(b))))
    return (high + 0.05) / (low + 0.05)


css = open(sys.argv[1]).read()
light, dark = re.findall(r":root \{([^}]*)\}", css)
colours = dict(re.findall(r"--(\w+): (#\w+)", light))
for theme, text in (("light", light), ("dark", dark)):
    colours.update(re.findall(r"--(\w+): (#\w+)", text))
    for (name, sight), (a, b) in itertools.product(SIGHT.items(), itertools.combinations(KINDS, 2)):
        p, q = (lab(linear(colours[k]), sight) for k in (a, b))
        far = sum((s - t) ** 2 for s, t in zip(p, q)) ** 0.5
        if far < 15:
            print(f"{theme}, {name}: {a} and {b} differ by {far:.0f}")
    for text, ground in itertools.product(("ink", "soft"), ("paper", "panel")):
        if contrast(colours[text], colours[ground]) < 4.5:
            print(f"{theme}: {text} on {ground}: {contrast(colours[text], colours[ground]):.1f}")
