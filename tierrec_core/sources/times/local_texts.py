"""Times as people, databases and other languages write them, in DuckDB SQL that writes them as a few formats do."""

from collections.abc import Iterable
from functools import reduce

import pandas as pd

from tierrec_core.sources.times.time_zones import ABBREVIATIONS

# Names and abbreviations of months: English, Spanish, German, French, Italian, Portuguese, Dutch, Swedish, Danish,
# Norwegian, Finnish, Polish, Czech, Russian, Turkish.
_MONTHS = {
    "Jan": """jan january enero ene januar jänner janvier janv gennaio gen janeiro januari tammikuuta stycznia sty ledna
        led января янв ocak oca""",
    "Feb": """feb february febrero februar février févr fév febbraio fevereiro fev februari helmikuuta lutego lut února
        úno февраля фев şubat şub""",
    "Mar": """mar march marzo märz mär mrz mars março maart mrt marts maaliskuuta marca března bře марта мар mart""",
    "Apr": """apr april abril abr avril avr aprile huhtikuuta kwietnia kwi dubna dub апреля апр nisan nis""",
    "May": """may mayo mai maggio mag maio mei maj toukokuuta maja května kvě мая май mayıs mayis""",
    "Jun": """jun june junio juni juin giugno giu junho kesäkuuta czerwca cze června čvn июня июн haziran haz""",
    "Jul": """jul july julio juli juillet juil luglio lug julho heinäkuuta lipca lip července čvc июля июл temmuz
        tem""",
    "Aug": """aug august agosto ago août aout augustus augusti elokuuta sierpnia sie srpna srp августа авг ağustos
        ağu""",
    "Sep": """sep september septiembre sept settembre septembre setembro set syyskuuta września wrz září zář сентября
        сен сент eylül eyl""",
    "Oct": """oct october octubre oktober okt octobre ottobre ott outubro out lokakuuta października paź října říj
        октября окт ekim eki""",
    "Nov": """nov november noviembre novembre novembro marraskuuta listopada listopadu lis ноября ноя нояб kasım kasim
        kas""",
    "Dec": """dec december diciembre dic dezember dez décembre déc dicembre dezembro desember des joulukuuta grudnia gru
        prosince pro декабря дек aralık aralik ara""",
}
_NAMES = "|".join(sorted((name for names in _MONTHS.values() for name in names.split()), key=len, reverse=True))
_DATE = rf"(?i)(\d)(?:er|\.)?[ .-](?:de )?({_NAMES})\.?(?: de)?[ .-](\d)"
_HALVES = {"AM": "오전|午前|上午", "PM": "오후|午後|下午"}
_WEEK_DAYS = """mon(?:day)? tue(?:s|sday)? wed(?:nesday)? thu(?:r|rs|rsday)? fri(?:day)? sat(?:urday)? sun(?:day)?
    mo(?:ntag)? di(?:enstag)? mi(?:ttwoch)? do(?:nnerstag)? fr(?:eitag)? sa(?:mstag)? so(?:nntag)?
    lun(?:di|es|edì)? mar(?:di|tes|tedì)? mer(?:credi|coledì)? jeu(?:di)? ven(?:dredi|erdì)? sam(?:edi)? dim(?:anche)?
    mié(?:rcoles)? jue(?:ves)? vie(?:rnes)? s[aá]b(?:ado|ato)? dom(?:ingo|enica)? gio(?:vedì)?
    seg ter qua qui sex (?:segunda|terça|quarta|quinta|sexta)-feira
    ma(?:andag)? wo(?:ensdag)? do(?:nderdag)? vr(?:ijdag)? za(?:terdag)? zo(?:ndag)? dinsdag
    mån(?:dag)? tis(?:dag)? ons(?:dag)? tors(?:dag)? fre(?:dag)? lör(?:dag)? sön(?:dag)? man(?:dag)? søn(?:dag)?
    pon(?:iedziałek)? pn wt(?:orek)? śr(?:oda)? czw(?:artek)? pt piątek sob(?:ota)? nd niedz(?:iela)?
    пн вт ср чт пт сб вс"""
_WEEK_DAY = "|".join(_WEEK_DAYS.split())
_REWRITTEN = (
    (rf"(?i)^(?:{_WEEK_DAY})(?:\.,|[.,])? (\d+[./-][\d\pL]|\d+(?:st|nd|rd|th|\.)? ?\pL|\pL+\.? +\d)", r"\1"),
    (r"(?i)(\d)(?:st|nd|rd|th)\b", r"\1"),
    (r"(\d{4}) г\.", r"\1"),
    (r"(?i)(\d),? (?:at|à|um|a las|alle|às|om|klo|kl\.?|o|в|saat) (\d\d?[:.]\d\d)", r"\1 \2"),
    (r"(?i)(:\d\d) (?:uur|ч\.?)$", r"\1"),
    (r"(\d+)[年년] ?(\d+)[月월] ?(\d+)[日일](?: ?\(\pL\))?", r"\1-\2-\3"),
    (r"(\d+)[時时시点] ?(\d+)[分분] ?(\d+)[秒초]", r"\1:\2:\3"),
    (r"(\d+)[時时시点] ?(\d+)[分분]", r"\1:\2"),
    (r"^(\d{4})\. ?(\d+)\. (\d+)\.?", r"\1-\2-\3"),
    (r"(\d) (?:UTC|GMT)((?: \d{4})?)$", r"\1 +0000\2"),
    (r"^(\pL{3} +\d+) (\d\d?:\d\d:\d\d)( [+-]\d{4})? (\d{4})$", r"\1 \4 \2\3"),
    (r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", r"\1-\2-\3T\4:\5:\6"),
    (r"^(\d{4}-\d\d-\d\d)[-_](\d\d)[-.](\d\d)[-.](\d\d)", r"\1 \2:\3:\4"),
    (r" (\d\d?)\.(\d\d)\.(\d\d)(\.\d+)?( [AaPp][Mm])?$", r" \1:\2:\3\4\5"),
    (r" (\d\d?)\.(\d\d)$", r" \1:\2"),
    (r"(:\d\d:\d\d):(\d{3})", r"\1.\2"),
    (r"(Z|[+-]\d\d:?\d\d)\[[\w/+-]+\]?$", r"\1"),
)  # in this order: days of the week, ordinals, words before and after the hour; China, Japan and Korea; C, Oracle, Java
_AS_IS = (
    r"^(?:\d+|(?:\d{1,4}[./-]\d\d?[./-]\d{1,4}|\d\d?[ -][A-Za-z]{3}[ -]\d{2,4})"
    r"(?:[ T]\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| ?[AaPp][Mm])?)?)$"
)


def plain_times(text: str) -> str:
    """SQL of the text without what only surrounds its date and time, and with the usual marks between their numbers.

    `Mi., 03.01.2024 um 16:46` becomes `03.01.2024 16:46`, `20240103T164629Z` becomes `2024-01-03T16:46:29Z`.
    text: SQL of it, which is repeated
    """
    rewritten = reduce(lambda sql, pair: f"regexp_replace({sql}, '{pair[0]}', '{pair[1]}')", _REWRITTEN, text)
    return f"case when regexp_matches({text}, '{_AS_IS}') then {text} else {rewritten} end"


def english_times(text: str) -> str:
    """SQL of the text with English names of months, and halves of the day as AM and PM behind the time.

    `5 de enero de 2024` becomes `5 Jan 2024`, `2024-1-5 오후 3:20` becomes `2024-1-5 3:20 PM`; other texts stay.
    text: SQL of it, which is repeated
    """
    months = rf"regexp_replace({text}, '{_DATE}', '\1 \2 \3')"
    for month, names in _MONTHS.items():
        months = rf"regexp_replace({months}, '(?i)(\d) (?:{'|'.join(names.split())}) (\d)', '\1 {month} \2')"
    clocks = text
    for half, words in _HALVES.items():
        clocks = rf"regexp_replace({clocks}, '(?:{words}) ?([\d:]+)', '\1 {half}')"
    halves = "|".join(_HALVES.values())
    return (
        f"case when regexp_matches({text}, '{_DATE}') then {months} "
        f"when regexp_matches({text}, '{halves}') then {clocks} else {text} end"
    )


ZONES = "|".join(ABBREVIATIONS)
_ENDS_OPEN = "(right(raw, 1) between 'A' and 'Y' or right(raw, 1) in (')', ']') or right(raw, 2) in ('EZ', 'SZ'))"
_SUFFIX = f"regexp_extract(raw, '[\\dMm.] ?({ZONES})$', 1)"
ZONE = f"(case when {_ENDS_OPEN} then coalesce(list_position({list(ABBREVIATIONS)}, {_SUFFIX}), 0) else 0 end)::tinyint"
_WITHOUT_ZONE = rf"regexp_replace(raw, '([\dMm.]) ?({ZONES}|\([^)]*\))$', '\1')"
_BARE = f"case when {_ENDS_OPEN} then trim({_WITHOUT_ZONE}, '[]') else raw end"
_SPACED = f"replace(replace({_BARE}, '\u202f', ' '), '\u00a0', ' ')"  # as browsers and phones write AM
_WITH_HALVES = rf"regexp_replace({_SPACED}, '([AaPp])\.\s?[Mm]\.', '\1m')"
_MARKED = rf"replace(regexp_replace({_WITH_HALVES}, '(:\d\d),(\d)', '\1.\2'), ', ', ' ')"
_TICKS = r"regexp_replace(raw, '^(?:/Date\((-?\d+)[^)]*\)/|''(\d+))$', '\1\2')"
# milliseconds, as .NET writes them in JSON; numbers that a spreadsheet keeps as texts
_NUMBER = rf"try_cast(regexp_replace({_TICKS}, '^(\d+),(\d+)$', '\1.\2') as double)"
RAW = "select {place} as place, left(cast({c} as varchar), 100) as raw from frame"  # longer ones are no times
_CELLS = f"""
with cells as ({{cells}}), trimmed as (select *, {_MARKED} as local from cells),
rewritten as (select *, {{rewritten}} as plain from trimmed),
texts as (select *, {english_times("plain")} as text, {_NUMBER} as number from rewritten)
select {{columns}} from texts
"""  # noqa: S608
_PLAIN = plain_times("local")


def cells_query(cells: str, columns: str, sample: Iterable[pd.Series]) -> str:
    """SQL of these columns over the texts and numbers of cells, `text` and `number`.

    cells: SQL of their places and raw texts
    sample: the cells, if they are few; where all are plain the SQL does not rewrite them, which takes long to plan
    """
    is_plain = [column.dropna().astype("string").str.match(_AS_IS).all() for column in sample]
    return _CELLS.format(cells=cells, columns=columns, rewritten="local" if is_plain and all(is_plain) else _PLAIN)
