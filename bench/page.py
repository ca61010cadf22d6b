"""A page of a shop: HTML whose words and numbers are drawn, the same every time."""

import random

PAGE_BYTES = 100_000


def page():
    draw = random.Random(9)
    words = [word(draw) for _ in range(1800)]
    # As in any text, few words make most of it.
    weights = [1 / (rank + 1) ** 0.9 for rank in range(len(words))]
    text = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Shop</title>\n" \
           "<link rel=\"stylesheet\" href=\"/assets/site.css\">\n</head>\n<body>\n<main class=\"products\">\n"
    number = 0
    while len(text) < PAGE_BYTES:
        number += 1
        text += product(draw, number, lambda count: draw.choices(words, weights, k=count))
    return text.encode()[:PAGE_BYTES]


def word(draw):
    syllables = [draw.choice("bcdfghklmnprstvw") + draw.choice("aeiou") for _ in range(draw.randint(1, 4))]
    return "".join(syllables) + draw.choice(["", "n", "r", "s", ""])


def product(draw, number, words):
    sku = f"{draw.getrandbits(40):010x}"
    return f"""<article class="product" id="p{number}" data-sku="{sku}">
  <a class="product__link" href="/products/{"-".join(words(3))}-{sku}">
    <img class="product__image" src="/images/{draw.getrandbits(64):016x}.webp" width="320" height="240" loading="lazy" \
alt="{" ".join(words(3)).capitalize()}">
    <h2 class="product__name">{" ".join(words(draw.randint(2, 5))).title()}</h2>
  </a>
  <p class="product__text">{" ".join(words(draw.randint(20, 60))).capitalize()}.</p>
  <p class="product__price"><span class="price">{draw.randint(1, 999)}.{draw.randint(0, 99):02}</span> \
<span class="stock">{draw.randint(0, 200)} left</span></p>
</article>
"""
