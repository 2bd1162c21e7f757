"""toy-causes: which of two events is the cause, or the effect, of a third? 0 the first choice, 1 the second.

The right choice belongs to the premise, the other one to some other event; each is as likely by itself. Columns, as
COPA's: premise, choice1, choice2, question (`cause` or `effect`), label, idx.
"""

from . import SIZES, distinct, sentence

# an event is a cause and its effect, divided by `/`; WHO is the person, THEM and THEIR stand for the same one
WORDS = {
    "train": {
        "who": "nurse, baker, lawyer, singer, gardener, pilot, widow, clerk",
        "event": "WHO skipped breakfast / WHO felt hungry, WHO dropped the glass / the glass shattered, "
        "WHO forgot the umbrella / WHO got wet in the rain, WHO missed the last bus / WHO walked home, "
        "WHO ate rotten fish / WHO got food poisoning, WHO left the oven on / the cake burned, "
        "WHO stayed up all night / WHO felt tired, WHO won the lottery / WHO became rich, "
        "WHO left the freezer open / the ice cream melted, WHO stepped on a nail / THEIR foot hurt, "
        "WHO watered the roses / the roses grew, WHO told a funny joke / everyone laughed, "
        "WHO lost the house key / WHO could not open the door, WHO touched the hot stove / WHO burned THEIR finger, "
        "WHO spilled coffee on the shirt / WHO washed the shirt, WHO trained every day / WHO became strong, "
        "WHO sang a lullaby / the baby fell asleep, WHO lit a candle / the room became bright, "
        "WHO broke a leg / WHO needed crutches, WHO drove too fast / WHO got a speeding ticket, "
        "WHO forgot the gloves in the snow / THEIR hands froze, WHO painted the wall / the wall turned blue",
    },
    "validation": {
        "who": "sailor, student, plumber, waiter, painter, judge, tourist, farmer",
        "event": "WHO ran ten miles / WHO was out of breath, WHO threw a stone at the window / the window cracked, "
        "WHO jumped into the lake / THEIR clothes were soaked, WHO mowed the lawn / the grass was short, "
        "WHO caught a cold / WHO coughed, WHO read a sad letter / WHO wept, "
        "WHO switched off the lamp / it was dark, WHO pulled the dog's tail / the dog bit THEM, "
        "WHO wound up the music box / a melody played, WHO rang the bell / somebody answered, "
        "WHO overslept / WHO was late for work, "
        "WHO pressed the brake / the car slowed down, WHO heated the kettle / the water boiled, "
        "WHO swallowed a pill / the headache went away, WHO saved money for years / WHO bought a boat, "
        "WHO stirred sugar into the tea / the tea tasted sweet, WHO polished the shoes / the shoes looked new, "
        "WHO shouted in the library / the librarian hushed THEM, WHO opened the cage / the bird flew out, "
        "WHO hammered all morning / the neighbour put in earplugs, WHO cheated at cards / the others stopped playing",
    },
}


def rows(split: str) -> list[dict]:
    words = {slot: entries.split(", ") for slot, entries in WORDS[split].items()}

    def make(rng, label):
        asked = rng.choice(["cause", "effect"])
        own, other = (event.split(" / ") for event in rng.sample(words["event"], 2))
        they, them, their = rng.choice([("he", "him", "his"), ("she", "her", "her")])
        who = "the " + rng.choice(words["who"])
        given = own[asked == "cause"]
        # The person is named in the premise; where it has none, in both choices.
        named = "WHO" in given

        def say(event, subject):
            return sentence(event.replace("WHO", subject).replace("THEM", them).replace("THEIR", their))

        choices = [say(event[asked == "effect"], they if named else who) for event in (own, other)]
        return say(given, who), *(choices[::-1] if label else choices), asked

    examples = distinct(make, [i % 2 for i in range(SIZES[split])], f"toy-causes v1 {split}")
    return [
        {"premise": premise, "choice1": one, "choice2": two, "question": asked, "label": label, "idx": i}
        for i, ((premise, one, two, asked), label) in enumerate(examples)
    ]
