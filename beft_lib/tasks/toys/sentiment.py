"""toy-sentiment: the verdict of a two-sided review; 0 negative, 1 positive.

Two sentences in five praise one thing and blame another; which of the two decides is said by the structure
(`although`, `but overall`, `even if`). In a few, a negator (`far from`, `hardly`) reverses the adjective. A sum
over good and bad words is therefore not enough. Columns: sentence, label, idx.
"""

from . import SIZES, distinct, sentence

WORDS = {
    "train": {
        "thing": "film, hotel, concert, book, museum, dinner, cruise, play, lecture, holiday",
        "aspect": "acting, music, service, room, view, plot, staff, lighting, location, ending, food, pool",
        "positive": "wonderful, excellent, delightful, superb, charming, impressive, lovely, brilliant, "
        "pleasant, enjoyable, refreshing, remarkable, splendid, satisfying, elegant, inspiring, memorable, "
        "graceful, thoughtful, cheerful",
        "negative": "terrible, awful, dreadful, disappointing, dull, boring, clumsy, annoying, horrible, "
        "shabby, tedious, messy, unpleasant, mediocre, irritating, lifeless, pathetic, careless, "
        "frustrating, miserable",
        "praise": "we left smiling, i would gladly return, everyone applauded, it deserves praise, "
        "i recommend it warmly, it made us laugh",
        "blame": "we left early, i want a refund, everyone complained, it deserves criticism, "
        "i regret going, it gave us headaches",
    },
    "validation": {
        "thing": "phone, game, restaurant, car, laptop, garden, opera, course, apartment, festival",
        "aspect": "screen, design, price, sound, menu, engine, keyboard, story, atmosphere, layout, battery, costume",
        "positive": "fantastic, marvellous, outstanding, gorgeous, terrific, magnificent, amazing, perfect, "
        "beautiful, fabulous, exquisite, flawless, stunning, great, exceptional, glorious, admirable, "
        "sublime, good, fine",
        "negative": "bad, poor, lousy, appalling, atrocious, abysmal, hideous, ghastly, wretched, inferior, "
        "dismal, worthless, ugly, useless, shoddy, disgraceful, vile, bland, faulty, disastrous",
        "praise": "my family adored it, they should be proud, that is money well spent, nothing beats it, "
        "my friends fell in love, this one is a winner",
        "blame": "my family hated it, they should be ashamed, that is money badly wasted, nothing saves it, "
        "my friends fell asleep, this one is a failure",
    },
}
NEGATORS = ["far from", "hardly", "anything but", "not at all"]
# x, y: aspects; t: the thing; B, B2: adjectives of the deciding side; A, A2: of the other side;
# n: a negator, which turns A into the deciding side; v: a verdict of the deciding side
FRAMES = {
    "contrast": [
        "although the {x} was {A}, the {t} was {B}",
        "the {x} was {A}, but overall {v}",
        "the {x} was {A}, yet in the end the {t} was {B}",
        "despite a {A} {x}, it was a {B} {t} with a {B2} {y}",
        "it was a {B} {t}, even if the {x} was {A}",
        "{v}, although the {x} was {A} and the {y} {B}",
        "the {t} had a {A} {x}, but that did not keep it from being {B}",
        "what a {B} {t}, in spite of its {A} {x}",
    ],
    "negated": [
        "the {x} was {n} {A}",
        "the {x} and the {y} were {n} {A}",
        "the {t} was {n} {A}, whatever others say about the {x}",
        "some called the {x} {A}, but it was {n} {A2}",
    ],
    "plain": [
        "the {x} was {B} and the {y} was {B2}",
        "it was a {B} {t} with a {B2} {x}",
        "what a {B} {t}, and {v}",
        "{v}, because the {x} was {B}",
        "from the {x} to the {y}, everything was {B}",
    ],
}
SHARE = {"contrast": 0.4, "negated": 0.05, "plain": 0.55}


def rows(split: str) -> list[dict]:
    words = {slot: entries.split(", ") for slot, entries in WORDS[split].items()}

    def make(rng, label):
        good, bad = ("positive", "praise"), ("negative", "blame")
        (own, verdict), (other, _) = (good, bad) if label else (bad, good)
        frame = rng.choice(FRAMES[rng.choices(list(SHARE), list(SHARE.values()))[0]])
        (x, y), (b, b2), (a, a2) = (rng.sample(words[kind], 2) for kind in ("aspect", own, other))
        slots = dict(x=x, y=y, t=rng.choice(words["thing"]), A=a, A2=a2, B=b, B2=b2)
        return (sentence(frame.format(n=rng.choice(NEGATORS), v=rng.choice(words[verdict]), **slots)),)

    examples = distinct(make, [i % 2 for i in range(SIZES[split])], f"toy-sentiment v1 {split}")
    return [{"sentence": text, "label": label, "idx": i} for i, ((text,), label) in enumerate(examples)]
