"""How well the text of a page can be read: its contrast with what is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

LEAST = 4.5
"""Least contrast of text, as WCAG 2.2 (1.4.3) asks for."""
TEXTS = """() => {
    const brush = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = colour => {
        brush.clearRect(0, 0, 1, 1);
        brush.fillStyle = colour;
        brush.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], under) =>
        [r, g, b].map((level, i) => a * level + (1 - a) * under[i]);
    const behind = it => {
        if (!it) return rgba(getComputedStyle(document.documentElement).colorScheme.includes('dark')
            && matchMedia('(prefers-color-scheme: dark)').matches ? '#121212' : '#fff').slice(0, 3);
        return over(rgba(getComputedStyle(it).backgroundColor), behind(it.parentElement));
    };
    const light = levels => levels.map(level => level / 255)
        .map(l => l <= .04045 ? l / 12.92 : ((l + .055) / 1.055) ** 2.4)
        .reduce((sum, l, i) => sum + l * [.2126, .7152, .0722][i], 0);
    const opacity = it => it ? getComputedStyle(it).opacity * opacity(it.parentElement) : 1;
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; node = walk.nextNode();) {
        const it = node.parentElement, style = getComputedStyle(it);
        if (!node.data.trim() || !it.checkVisibility({visibilityProperty: true})
            || it.closest('script, style, :disabled')) continue;
        const svg = it.closest('svg') !== null, back = behind(it);
        const [r, g, b, a] = rgba(svg ? style.fill : style.color);
        const pair = [light(over([r, g, b, a * opacity(it)], back)), light(back)];
        const [less, more] = pair.sort((one, other) => one - other);
        found.push({text: node.data.trim().slice(0, 40), contrast: (more + .05) / (less + .05),
            pixels: parseFloat(style.fontSize) * (svg ? it.getScreenCTM().a : 1)});
    }
    return found;
}"""


def texts(page: Page) -> list[dict[str, Any]]:
    """Each text that a page shows, with its ``contrast`` and the height of its font in pixels."""
    found: list[dict[str, Any]] = page.evaluate(TEXTS)
    assert found
    return found


def faint(page: Page) -> list[str]:
    """The texts of a page whose contrast is below 4.5, and what it is."""
    return [f"{it['text']}: {it['contrast']:.1f}" for it in texts(page) if it["contrast"] < LEAST]
