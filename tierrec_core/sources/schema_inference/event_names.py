"""What names in a log mean, by their words in several languages: of events, statuses and kinds of lines."""

import re
import unicodedata
from collections.abc import Iterable

YES = {"true", "1", "yes", "y", "t", "ja", "j", "oui", "o", "si", "sí", "sì", "sim", "tak", "ano", "да"}
NO = {"false", "0", "no", "n", "f", "nein", "non", "nee", "não", "nao", "nie", "ne", "нет"}
CROSS = {"x"}  # yes, where the other cells are empty
IGNORE = "ignore"

_NAMES = {
    "impression": "impression impressions show shown display exposure",
    "view": "look looked see browse pageview page_view pv detail visit watch watched played listened streamed",
    "click": "clk tap select_item",
    "favourite": "fav like liked bookmark save",
    "cart": "addtocart addtobasket addtobag to_cart in_cart atc add product_added added",
    "rating": "rating rate stars",
    "purchase": """pay transaction checkout sale conversion converted booking booked sold
        checkout_completed transaction_item""",
    IGNORE: """session_start session_started first_visit first_open user_engagement scroll login log_in logged_in logout
        log_out sign_up signup signed_up search searched view_search_results view_item_list view_promotion
        select_promotion select_content begin_checkout checkout_started add_payment_info add_shipping_info identify
        autocapture pageleave app_open app_update app_remove file_download ping heartbeat
        received_email opened_email clicked_email bounced_email active_on_site subscribed_to_list""",
}


def plain(name: str) -> str:
    """A name without case, umlauts and punctuation: `Add-To_Cart` is addtocart."""
    return re.sub(r"[\W_]", "", name.lower().replace("ü", "ue").replace("ö", "oe").replace("ä", "ae"))


_LETTERS = str.maketrans("łøß", "los")


def words(name: str) -> list[str]:
    """The words in lower case, without accents: `ViewItem` and `view_item` are two."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().translate(_LETTERS)
    if not parted.isascii():
        parted = "".join(one for one in unicodedata.normalize("NFKD", parted) if not unicodedata.combining(one))
    return re.findall(r"[^\W_]+", parted)


_BY_NAME = {plain(name): event for event, names in _NAMES.items() for name in names.split()}

# Each word of a name must be one of these, without accents. The first two kinds outweigh the verbs beside them.
_WORDS = {
    "cart": r"cart|basket|bag|trolley|(einkaufs)?(warenkorb|wagen)|winkelwagen|carrito|cesta|panier|carrello|koszyka?|"
    r"varukorg(en)?|kundvagn(en)?|kosiku?",
    "favourite": r"wish|wishlist(ed)?|favou?rite[sd]?|merkzettel|merkliste|wunschliste|favoris?|favoritos?|preferiti|"
    r"ulubion\w+|oblibene",
    "add": r"add|added|adding|put|placed|gelegt|legen|hinzu|hinzugefugt|anadir|anadido|agregar|agregado|ajouter|ajoute|"
    r"ajout|aggiungi|aggiunto|dodaj|dodano|lagg|lagt|toegevoegd|toevoegen|pridat|pridano",
    "impression": r"impressions?|shown|displayed|exposure",
    "view": r"views?|viewed|viewing|pdp|looked|seen|visited|angesehen|ansehen|ansicht|angeschaut|betrachtet|gesehen|"
    r"vista|visto|visita|visualizza\w*|visualiza\w*|vues?|voir|consulte|obejrz\w+|wyswietl\w+|visning|visad|sedd|bekeken|"
    r"zobrazen\w*",
    "click": r"click|clicks|clicked|tapped|klick|geklickt|clic|klik|klikniecie",
    "purchase": r"purchased?|purchases|sales?|buy|bought|orders?|ordered|paid|kauf|kaufen|gekauft|bestellung|"
    r"bestellt|bestellen|compra|comprar|comprado|pedido|achat|acheter|achete|commande|commander|acquisto|acquistato|ordine|zakup|zakupiono|"
    r"kupno|kupiono|zamowienie|kop|kopt|aankoop|gekocht|bestelling|nakup|objednavka|koupeno",
    "rating": r"rated|reviews?|reviewed|bewertung|bewertet",
    "redeem": r"redeem|redeemed|redemption|eingelost|eingeloest|coupon",
    "": r"products?|items?|ecommerce|pages?|details?|screen|artikel|produkte?|produktu?|productos?|produits?|"
    r"prodott[oi]|articles?|completed?|success|successful|to|in|into|the|a|an|of|den|dem|der|die|das|zum|al|au|el|la|le|un|une|do|"
    r"i|till|aan|auf",
}
_OUTWEIGHING = ("cart", "favourite")
_UNDONE = re.compile(r"remove[ds]?|deleted?|cancell?ed|cancell?ation|refund(ed)?|returned|entfernt|storniert|erstattet")
_CHARGES = re.compile(
    r"\b(postage|shipping|delivery|carriage|freight|handling|fees?|charges?|surcharge|discount|voucher|deposit|"
    r"gift ?(?:card|wrap)|adjustment|versand(?:kosten|pauschale|gebue?hr(?:en)?)*|porto|gebue?hr(?:en)?|rabatt|"
    r"gutschein|pfand|frais|livraison|envio|spese)\b"
)
_KIND_NAMES = re.compile(r".*(type|typ|kind|art)")
_SETS = {
    "void": """cancelled canceled cancellation voided void refunded refund failed failure declined rejected expired
    error errored skipped
    returned abandoned chargeback storniert storno abgebrochen erstattet fehlgeschlagen gescheitert abgelehnt
    verfallen retourniert zuruckgesandt zurueckgesandt ruckerstattet rueckerstattet gutgeschrieben annule annulee
    rembourse remboursee echoue refuse anulowane anulowany anulowano zwrocone zwrot odrzucone annullato annullata
    rimborsato rimborsata fallito geannuleerd terugbetaald mislukt cancelado cancelada anulado anulada reembolsado
    reembolsada devuelto devuelta rechazado rechazada devolvido devolvida estornado estornada zruseno zrusena zrusene
    stornovano stornovana vraceno vracena vratene vratena avbruten avbestalld aterbetald returnerad makulerad annullerad
    annulleret annullert kansellert avbestilt refunderet refundert returneret returnert peruutettu peruttu palautettu
    hyvitetty anulat anulata rambursat rambursata returnat returnata torolve lemondva visszateritve sztornozva
    widerrufen retoure reso resa retourne retournee refusee geretourneerd iptal iade dibatalkan batal dikembalikan huy
    otkazano stornirano отменен отменена отменено отменены возврат возвращен возвращена скасовано скасований скасована
    повернено отказана анулирана ακυρωθηκε ακυρωμενη ακυρωμενο ακυρη ακυρωση επιστροφη επιστραφηκε בוטל בוטלה מבוטל
    מבוטלת הוחזר זוכה ملغي ملغى ملغية ملغاة الغاء الالغاء مسترد مرتجع مسترجع""",
    "in part": "not no partial partially part nicht kein teil teilweise teils",
    "tax": "tax taxes vat gst mwst ust steuer tva iva impuesto tip tips coupon coupons promotion",
    "with": "incl including included inc excl excluding ex with without after before net gross inkl exkl netto brutto",
    "line": "line lines item items lineitem product products article artikel position positions zeile",
    "beside flags": "is has was did num n no nr count counts number cnt total flag qty quantity anzahl nb nombre ilosc",
    "no flags": "rating redeem ignore paid",
    "beside charges": """and for of per de di da und fur cost costs code total service sales order payment kosten port
    standard express free insurance protection""",
}
_VOID_INSIDE = re.compile(  # in texts without spaces, or with marks within words
    unicodedata.normalize(
        "NFKD",
        "(?<!未)(?<!无)(?<!無)(?<!部分)(?<!一部)(?<!부분)(取消|退款|退货|退貨|关闭|キャンセル|返品|返金|취소|반품|환불|"
        "ยกเลิก|คืนเงิน|คืนสินค้า)(?!不可|なし|없음)",
    )
)
_RETURN = re.compile(r"return|retour|rue?ck(gabe|sendung)")
_RETURN_WORD = re.compile(
    r"return(s|ed)?|retour\w*|retur(en|ns?|nering)?|refund(s|ed)?|rue?ck(gabe|sendung|erstattung|nahme)\w*|"
    r"gutschrift\w*|chargebacks?|erstattung(en)?|erstattet|remboursements?|avoirs?|devoluci?on(es)?|devoluca?o(es)?|"
    r"rimborsi?o?|res[io]|zwrot\w?|reversals?|vratk[ay]|vraceni|credit(note|memo)s?|rma|crn|возврат\w*|"
    r"повернення|επιστροφ\w+|palautu(s|kset)|iade(ler)?"
)
_LINE_NAME = re.compile(r"line(item)?s?|position\w*|zeile\w*")
_VOID, _IN_PART, _TAXES, _WITH, _LINES, _COUNTS, _NO_FLAGS, _FILLERS = (
    frozenset(words(text)) for text in _SETS.values()
)


def canonical_event(name: str) -> str | None:
    """The event of contracts.Event for a name in a file, `ignore` for what is known to be none, else None."""
    if known := _BY_NAME.get(plain(name)):
        return known
    kinds = {_kind(word) for word in words(name)} - {""}
    if IGNORE in kinds:
        return IGNORE
    for target in _OUTWEIGHING:
        if target in kinds:
            return target if kinds <= {target, "add"} else IGNORE if kinds == {target, "view"} else None
    kinds -= {"add"}
    return kinds.pop() if len(kinds) == 1 and kinds <= _WORDS.keys() else None


def event_word(name: str) -> tuple[str, str]:
    """The one event that words of a name mean, or `ignore`, and its word; two empty texts for none or several.

    A basket is an event only if it is added to: market_basket.csv has purchases.
    """
    found, parts = {}, words(name)
    for word in parts:
        kinds = [_kind(one) for one in (word, word.removesuffix("s"))]
        event = next((kind for kind in kinds if kind in _WORDS or kind == IGNORE), _BY_NAME.get(kinds[1]))
        if event and event != "add":
            found[event] = word
    if found.get("cart", "cart") not in ("cart", "carts") and "add" not in map(_kind, parts):
        del found["cart"]
    return found.popitem() if len(found) == 1 else ("", "")


def flag_event(column: str) -> str:
    """The event that a column of truth values or counts says to have happened, such as is_viewed; empty for others."""
    event, word = event_word(column)
    others = [other for other in words(column) if other != word and _kind(other) not in ("", "add")]
    return event if event not in _NO_FLAGS and word not in _NO_FLAGS and set(others) <= _COUNTS else ""


def _kind(word: str) -> str:
    """The kind of _WORDS, or `ignore`, or an unknown word itself."""
    if is_undone(word):
        return IGNORE
    return next((kind for kind, pattern in _WORDS.items() if re.fullmatch(pattern, word)), word)


def is_undone(word: str) -> bool:
    """Whether a word is of events that are taken back, such as removed and cancelled."""
    return _UNDONE.fullmatch(word) is not None


def is_void(text: str) -> bool:
    """Whether a status, or the name of a column, says that an order came to nothing."""
    found = set(words(text))
    is_named = not found.isdisjoint(_VOID) or _VOID_INSIDE.search(unicodedata.normalize("NFKD", text))
    return bool(is_named) and found.isdisjoint(_IN_PART)


def is_return_word(word: str) -> bool:
    """Whether a word, as words() has it, is of what takes a purchase back, such as refund, avoirs and Retouren."""
    return _RETURN_WORD.fullmatch(word) is not None


def is_charge(title: str) -> bool:
    """Whether a title is that of postage, a fee or the like."""
    return _CHARGES.search(" ".join(words(title))) is not None


def is_deduction(column: str) -> bool:
    """Whether a column is called as amounts are that are no sales, such as taxes, and not as sales without them."""
    found = set(words(column))
    return (is_charge(column) or not found.isdisjoint(_TAXES)) and found.isdisjoint(_WITH)


def is_kind_name(column: str) -> bool:
    """Whether a column is called as one of kinds is, but not of kinds of shipping or discount."""
    return _KIND_NAMES.fullmatch(plain(column)) is not None and not is_charge(column)


def charge_lines(column: str, kinds: Iterable[str]) -> list[str]:
    """The kinds of lines that are no products, such as shipping; none in a column that is not of kinds of lines."""
    kinds = list(kinds)
    is_of_lines = is_kind_name(column) and (any(map(_LINE_NAME.fullmatch, words(column))) or any(map(_is_line, kinds)))
    return list(filter(_is_charge_only, kinds)) if is_of_lines else []


def has_lines_only(column: str, kinds: Iterable[str]) -> bool:
    """Whether the kinds are those of lines of orders: products, some that are none, and no event or return."""
    kinds = list(kinds)
    charges = charge_lines(column, kinds)
    others = [kind for kind in kinds if kind not in charges and not _is_line(kind)]
    return bool(charges) and not any(canonical_event(kind) or is_return(kind) for kind in others)


def is_return(kind: str) -> bool:
    """Whether a kind of lines or events takes a purchase back."""
    return is_void(kind) or any(map(_RETURN.match, words(kind)))


def _is_line(kind: str) -> bool:
    """Whether all words mean a line of an order."""
    found = set(words(kind))
    return bool(found) and found <= _LINES


def _is_charge_only(kind: str) -> bool:
    """Whether a kind of lines is called as postage, a tax or the like are, without a word of a product."""
    others = set(_CHARGES.sub("", " ".join(words(kind))).split())
    return (is_charge(kind) or not others.isdisjoint(_TAXES)) and others <= _TAXES | _LINES | _FILLERS
