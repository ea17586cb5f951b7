"""Text of many languages in the encodings that their old programs write, read as it was written."""

# ruff: noqa: RUF001  # letters of other alphabets are meant
from __future__ import annotations

from pathlib import Path

import pytest

from dbsa_core.files.encodings import guess_encoding
from dbsa_core.files.tables import read_table

TEXTS = {
    "ja": ("荷物はいつ届きますか", "配送先住所を変えてください", "カップが割れていました", "箱が壊れている"),
    "th": ("พัสดุอยู่ที่ไหน", "เมื่อไหร่จะถึง", "ยังไม่ได้รับของ", "หน้าจอมีรอย"),
    "ru": ("где моя посылка", "курьер не приехал", "экран поцарапан", "коробка порвана и внутри всё сломано"),
    "uk": ("де моя посилка", "коли привезуть замовлення", "екран подряпаний", "їжа зіпсована і все зламано"),
    "zh": ("我的包裹在哪里", "快递员没有来", "杯子碎了", "盒子坏了里面的东西也坏了"),
    "zh-tw": ("我的包裹在哪裡", "快遞員沒有來", "杯子碎了", "盒子壞了裡面的東西也壞了"),
    "ko": ("제 소포는 어디에 있나요", "택배 기사가 오지 않았어요", "컵이 깨졌어요", "상자가 찢어졌습니다"),
    "pl": ("kurier nie przyjechał", "kiedy dostarczą zamówienie", "ekran źle świeci", "pudełko było podarte"),
    "cs": ("kde je můj balík", "kurýr nepřijel", "displej je poškrábaný", "krabice byla roztržená"),
    "hu": ("a futár nem jött meg", "mikor érkezik a rendelésem", "a képernyő karcos", "a doboz szétszakadt és tört"),
    "tr": ("siparişim ne zaman gelecek", "bardak kırılmış", "ekran çizilmiş", "kutu yırtılmış ve bozulmuş"),
    "de": ("wann kommt die Bestellung für mich", "die Tasse ist zerstört", "größere Schäden", "bitte zurück"),
    "fr": ("où est mon colis", "la tasse est cassée", "l'écran est rayé", "la boîte était déchirée"),
    "es": ("dónde está mi paquete", "¿cuándo llegará?", "la pantalla tiene un arañazo", "el envío llegó dañado"),
    "sv": ("var är mitt paket", "när kommer min beställning", "skärmen har repor", "lådan är sönder"),
    "el": ("πού είναι το δέμα μου", "ο κούριερ δεν ήρθε", "η κούπα έσπασε", "η οθόνη έχει γρατζουνιές"),
    "he": ("איפה החבילה שלי", "השליח לא הגיע", "הכוס שבורה", "המסך שרוט"),
    "ar": ("أين طردي", "لم يصل المندوب", "متى سيصل الطلب", "الشاشة بها خدوش"),
}  # fmt: skip
ENCODINGS = {
    "ja": "euc_jp shift_jis cp932", "th": "cp874", "ru": "cp1251 koi8_r iso8859_5 cp866", "uk": "cp1251 koi8_u",
    "zh": "gbk gb18030", "zh-tw": "big5", "ko": "euc_kr cp949", "pl": "cp1250 iso8859_2", "cs": "cp1250 iso8859_2",
    "hu": "cp1250", "tr": "cp1254 iso8859_9", "de": "cp1252", "fr": "cp1252", "es": "cp1252", "sv": "cp1252",
    "el": "cp1253 iso8859_7", "he": "cp1255", "ar": "cp1256",
}  # fmt: skip
PAIRS = [(language, encoding) for language, names in ENCODINGS.items() for encoding in names.split()]


def rows(language: str, before: str = "") -> str:
    return "".join(f"{before}{text},{'ab'[i % 2]}\n" for i, text in enumerate(TEXTS[language]))


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_a_table_in_an_old_encoding_is_read_as_it_was_written(tmp_path: Path, language: str, encoding: str) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(("text,label\n" + rows(language)).encode(encoding))
    table = read_table(path)
    assert table.frame["text"].tolist() == list(TEXTS[language])
    assert any("The file is not UTF-8; it was read as" in note for note in table.notes)


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_a_little_of_it_among_much_ascii_too(tmp_path: Path, language: str, encoding: str) -> None:
    path = tmp_path / "old.csv"
    address = "TICKET-17,https://shop.example.com/orders/view?id=17&utm_source=mail,"
    path.write_bytes(("id,url,text,label\n" + rows(language, address)).encode(encoding))
    assert read_table(path).frame["text"].tolist() == list(TEXTS[language])


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("language", TEXTS)
def test_utf_16_without_a_mark_is_found_in_every_script(tmp_path: Path, language: str, order: str) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes(("text,label\n" + rows(language)).encode(order))
    table = read_table(path)
    assert (table.encoding, table.frame["text"].tolist()) == (order, list(TEXTS[language]))


@pytest.mark.parametrize(
    "text", ["it’s late", "“quoted” text", "price €5", "café", "naïve", "5 °C outside", "£ 5", "São Paulo",
             "dash — here", "résumé", "3 × 4", "½ cup", "© 2020", "¿qué tal?", "señor ¡hola!", "München"],
)  # fmt: skip
def test_a_single_sign_is_western(text: str) -> None:
    data = f"text,label\n{text},a\nplain words,b\n".encode("cp1252")
    found = guess_encoding(data)
    assert found is not None
    assert data.decode(found) == data.decode("cp1252")


def test_what_fits_no_encoding_is_none() -> None:
    assert guess_encoding(b"text,label\n\x81a\x8d\xffb\x8f\x90z,a\n") is None
