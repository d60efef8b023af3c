"""The built-in sentences: what users send, in kinds that go different ways through a BERT server."""

SENTENCES = (
    "yes",
    "hello world",
    "The weather was fine, so we walked home along the river.",
    "HOW MUCH IS 1,250.75 + 33% OF 8/9 (roughly)?",
    "Don't re-open the state-of-the-art café's naïve façade!",
    "see https://example.org/a_b?q=1&r=2#top or write to nobody@example.org",
    "Unverzüglich prüfte die Ärztin alle Rückenmarksuntersuchungen.",
    "Сегодня хорошая погода, и мы идём домой.",
    "今天天气很好，我们走路回家。",
    "昨日は天気がよかった。",
    "오늘은 날씨가 좋습니다.",
    "😀 ½ ™ and\tsome   space",
    "is this a pair? ||| yes, of two texts",
    "short ||| the second text of this pair is so long that it alone has to be cut, at least where sequences are kept "
    "as short as they are unless somebody asks for more",
    "both texts of this pair are long, and so each of them loses some of its words at the end of it ||| but never more "
    "than the other one, for the longer of the two always gets shorter first, until both fit",
    "A sentence that goes on and on, past the point where most people would have stopped, tells whether texts that are "
    "too long are cut where they should be, whether short neighbours are padded without harm, and whether the places "
    "of late tokens are told apart as well as those of early ones, from the first to the very last.",
)
"""Each has a token at least in every vocabulary. Pairs have " ||| " in them; the last ones are cut by default."""
