"""Times as people write them in other languages than English, in DuckDB SQL that writes them as English ones."""

# Names and abbreviations of months in Spanish, German, French, Italian, Portuguese and Dutch, and English ones.
_MONTHS = {
    "Jan": "enero ene januar jänner janvier janv gennaio gen janeiro januari jan",
    "Feb": "febrero februar février févr fév febbraio fevereiro fev februari feb",
    "Mar": "marzo märz mär mrz mars março maart mrt mar",
    "Apr": "abril abr avril avr aprile apr april",
    "May": "mayo mai maggio mag maio mei may",
    "Jun": "junio juni juin giugno giu junho jun",
    "Jul": "julio juli juillet juil luglio lug julho jul",
    "Aug": "agosto ago août aout augustus aug august",
    "Sep": "septiembre sept settembre septembre setembro set sep september",
    "Oct": "octubre oktober okt octobre ottobre ott outubro out oct",
    "Nov": "noviembre novembre novembro nov november",
    "Dec": "diciembre dic dezember dez décembre déc dicembre dezembro dec",
}
_NAMES = "|".join(sorted((name for names in _MONTHS.values() for name in names.split()), key=len, reverse=True))
_DATE = rf"(?i)(\d)(?:er|\.)?[ .-](?:de )?({_NAMES})\.?(?: de)?[ .-](\d)"
_HALVES = {"AM": "오전|午前|上午", "PM": "오후|午後|下午"}


def english_times(text: str) -> str:
    """SQL of the text with English names of months, halves of the day as AM and PM, and Korean dates with dashes.

    `5 de enero de 2024` becomes `5 Jan 2024`, `2024. 1. 5. 오후 3:20` becomes `2024-1-5 3:20 PM`; other texts stay.
    text: SQL of it, which is repeated
    """
    months = rf"regexp_replace({text}, '{_DATE}', '\1 \2 \3')"
    for month, names in _MONTHS.items():
        months = rf"regexp_replace({months}, '(?i)(\d) (?:{names.replace(' ', '|')}) (\d)', '\1 {month} \2')"
    clocks = rf"regexp_replace({text}, '^(\d\d\d\d)\. ?(\d+)\. ?(\d+)\.?', '\1-\2-\3')"
    for half, words in _HALVES.items():
        clocks = rf"regexp_replace({clocks}, '(?:{words}) ?([\d:]+)', '\1 {half}')"
    halves = "|".join(_HALVES.values())
    return (
        f"case when regexp_matches({text}, '{_DATE}') then {months} "
        f"when regexp_matches({text}, '{halves}') then {clocks} else {text} end"
    )
