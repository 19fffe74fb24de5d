"""What predictions and replies are drawn from: right and wrong answers, in the forms in which models give them."""

NOUNS = ["red", "blue", "a dog", "a cat", "the tallest bar", "north", "3/11", "8/11", "12 cm", "nothing", "banana", "4"]
TEXTS = [
    *("A", "B", "(C)", "D.", "E", "A.", "(B) blue", "C: the tallest bar", "The answer is B.", "answer: D", "option a"),
    *("A dog", "a dog", "either A or B", "I think it is A dog", "It must be (A), not (B)", "so the result is 12", "12"),
    *("the area is 3.5, thus x = 3.50", "1,204", "0.5", "14", "-7", "50%", "1e3", "[1, 2]", "[2007, 2008]", "blue"),
    *(
        "It is a dog because of the tail.",
        "none of these",
        "nothing at all can be said about it",
        "the answer is: 0.51",
    ),
    *(
        "Could be red\nFinal answer 14.",
        "x",
        "final x",
        "B)",
        ":C.",
        "D),",
        "(A).",
        "bad",
        "cab",
        "Two numbers, 3 and 14",
    ),
]
