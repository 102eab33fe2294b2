"""Times as people write them in other languages are read as the same moments."""

import pandas as pd
import pytest

from tierrec_core.sources.time_formats import detect_time_format, parse_times

MONTHS = {
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "es short": "ene feb mar abr may jun jul ago sept oct nov dic",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "fr short": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
    "fi": "tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta lokakuuta "
    "marraskuuta joulukuuta",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "cs": "ledna února března dubna května června července srpna září října listopadu prosince",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "tr": "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
    "nl short": "jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec.",
}
MOMENTS = pd.date_range("2024-01-03 09:05", periods=60, freq="6D17h", tz="UTC")
LAYOUTS = {
    "es": "{t.day} de {month} de {t.year} {t:%H:%M}",
    "de": "{t.day}. {month} {t.year} {t:%H:%M} Uhr",
    "nl short": "{t.day}-{month}-{t.year} {t:%H:%M}",
    "fr": "{t.day} {month} {t.year} à {t:%H:%M}",
    "fi": "{t.day}. {month} {t.year} klo {t.hour}.{t:%M}",
    "cs": "{t.day}. {month} {t.year} {t:%H:%M}",
    "ru": "{t.day} {month} {t.year} г., {t:%H:%M}",
}


def read(texts: list[str]) -> pd.Series:
    values = pd.Series(texts, dtype="string")
    return parse_times(values, detect_time_format(values), "UTC")


@pytest.mark.parametrize("language", MONTHS)
def test_names_of_months(language: str) -> None:
    names, layout = MONTHS[language].split(), LAYOUTS.get(language, "{t.day} {month} {t.year} {t:%H:%M}")
    for change in (str, str.upper, str.title):
        found = read([layout.format(t=t, month=change(names[t.month - 1])) for t in MOMENTS])
        assert list(found) == list(MOMENTS.floor("min"))


@pytest.mark.parametrize(
    "layout", ["{t:%Y-%m-%d} {half} {hour}:{t:%M}", "{t.year}. {t.month}. {t.day}. {half} {hour}:{t:%M:%S}"]
)
@pytest.mark.parametrize("halves", [("오전", "오후"), ("午前", "午後"), ("上午", "下午")])
def test_halves_of_the_day(halves: tuple[str, str], layout: str) -> None:
    texts = [layout.format(t=t, half=halves[t.hour >= 12], hour=t.hour % 12 or 12) for t in MOMENTS]
    assert list(read(texts)) == list(MOMENTS.floor("min"))


@pytest.mark.parametrize(
    "layout",
    [
        "%a, %d.%m.%Y %H:%M",
        "Mi., %d.%m.%Y um %H:%M",
        "Wednesday %d/%m/%Y %H:%M",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %d %H:%M:%S %Y",
        "%a %b %d %H:%M:%S UTC %Y",
        "%a %b %d %H:%M:%S +0000 %Y",
        "%drd %B %Y %H:%M",
        "%B %dth, %Y, %I:%M %p",
        "%b %d, %Y at %I:%M %p",
        "%d %b %Y %H:%M:%S:000",
        "%d-%b-%y %I.%M.%S.000000 %p",
        "%Y-%m-%d-%H.%M.%S.000000",
        "%Y-%m-%d_%H-%M-%S",
        "%Y%m%dT%H%M%SZ",
        "%Y%m%dT%H%M%S.000+0000",
        "%Y-%m-%dT%H:%M:%SZ[Europe/Paris]",
        "%Y-%m-%d kl. %H:%M",
        "%d-%m-%Y %H:%M uur",
        "%Y. %m. %d. %H:%M",
        "%Y年%m月%d日 %H時%M分%S秒",
        "%Y年%m月%d日(金) %H:%M",
        "%Y년 %m월 %d일 %H:%M",
        "'%Q",
    ],
)
def test_what_surrounds_a_time_is_left_out(layout: str) -> None:
    texts = [t.strftime(layout.replace("%Q", str(int(t.timestamp() * 1000)))) for t in MOMENTS]
    assert list(read(texts)) == list(MOMENTS)


def test_ten_digits_of_a_date_with_an_hour_are_no_seconds() -> None:
    assert list(read([f"{t:%Y%m%d%H}" for t in MOMENTS])) == list(MOMENTS.floor("h"))


def test_seconds_are_no_dates() -> None:
    assert list(read([str(int(t.timestamp())) for t in MOMENTS])) == list(MOMENTS)


@pytest.mark.parametrize("layout", ["%a, %d %b %Y %H:%M:%S GMT", "%Y-%m-%d %H:%M:%S GMT", "%a %b %d %H:%M:%S GMT %Y"])
def test_greenwich_time_stays_in_a_project_of_another_zone(layout: str) -> None:
    values = pd.Series([t.strftime(layout) for t in MOMENTS], dtype="string")
    assert list(parse_times(values, detect_time_format(values), "Europe/Berlin")) == list(MOMENTS)


@pytest.mark.parametrize("zone", ["", "+0000", "-0500"])
def test_dates_of_net_are_milliseconds_whatever_their_zone(zone: str) -> None:
    found = read([f"/Date({int(t.timestamp() * 1000)}{zone})/" for t in MOMENTS])
    assert list(found) == list(MOMENTS)


def test_other_texts_stay() -> None:
    texts = ["5 mag 24 bottles", "2024-01-05 de", "model 3 out 4", "/Date(x)/", "sun 3 out 4", "lot 5th mar 24 pieces"]
    assert read([*texts, *(t.isoformat() for t in MOMENTS)]).isna().sum() == len(texts)
