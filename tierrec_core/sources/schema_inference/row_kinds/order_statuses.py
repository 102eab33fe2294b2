"""Which columns are of statuses of orders, and which of these say that an order came to nothing, by their words."""

import re
import unicodedata
from collections.abc import Collection

from tierrec_core.sources.schema_inference.event_names import is_void, plain, words

_ENDS = ("status", "state", "zustand", "zahlung", "stato", "estado", "statut", "stav", "fulfillment", "fulfilment")
_NAMES_TEXT = """
    status statusu statut estado estatus stato stav state stare starea tila durum durumu situacao situacion etat etap
    allapot statusz zustand статус статуса стан состояние κατασταση סטטוס מצב حالة الحالة trangthai"""
_NAMES = frozenset(words(_NAMES_TEXT))
_NAME_INSIDE = re.compile(unicodedata.normalize("NFKD", "状态|狀態|状態|ステータス|상태|สถานะ"))
_AMBIGUOUS_TEXT = "state stato estado stare starea durum stan zahlung fulfillment fulfilment zustand"
_AMBIGUOUS = frozenset(_AMBIGUOUS_TEXT.split())  # also of addresses, countries, goods, ways to pay and to ship
_NO_ORDERS_TEXT = """
    draft test testing sandbox entwurf brouillon borrador bozza trash spam staging deleted geloscht geloescht
    testbestellung demo"""
_NO_ORDERS = frozenset(_NO_ORDERS_TEXT.split())
_FULFILLED_TEXT = """
    paid complete completed delivered shipped fulfilled processing succeeded successful settled captured normal real
    live production prod bezahlt abgeschlossen geliefert versendet versandt erledigt ausgeliefert paye payee expedie
    expediee livre livree termine terminee pagado pagada enviado enviada entregado entregada completado
    completada pago entregue concluido pagato pagata spedito consegnato completato evaso zaplacone oplacone
    wyslane zrealizowane betaald verzonden geleverd afgerond voltooid betalt leveret sendt betald levererad
    skickad zaplaceno odeslano doruceno dokonceno"""
_FULFILLED = frozenset(_FULFILLED_TEXT.split())
_KEPT_TEXT = """
    pending open opened new on hold onhold awaiting received confirmed authorized invoiced packed picked ready approved
    accepted active partial in progress transit process shipping time advance late delivery closed finished done ok
    success to buyer partially fully payment order orders and not yet is was refunded returned cancelled canceled offen
    neu bearbeitung teilweise erstattet nicht storniert levert fullfort toimitettu teljesitve livrata vyrizeno odoslana
    dorucena selesai dikirim teslim edildi tamamlandi gonderildi đã giao доставлен доставлена выполнен выполнена
    отправлен оплачен виконано доставлено ολοκληρωθηκε παραδοθηκε הושלם נשלח مكتمل"""
_KEPT = _FULFILLED | frozenset(words(_KEPT_TEXT))
_KEPT_INSIDE = re.compile(
    unicodedata.normalize(
        "NFKD", "完成|完了|完毕|发货|發貨|発送|出荷|配送|배송|결제|支付|付款|成功|签收|入金|สำเร็จ|จัดส่ง"
    )
)
_OF_STATUS = frozenset(["order", "orders", "payment", "partially", "fully", "and", "not", "yet", "is", "was"])
_NOT_OF_ORDERS_TEXT = """
    subscription subscriber customer member membership account user client contact loyalty newsletter coupon voucher
    promo promotion email mail review stock inventory catalog marital employment kunde kunden konto abo"""
_NOT_OF_ORDERS = tuple(_NOT_OF_ORDERS_TEXT.split())


def is_status_name(column: str) -> bool:
    """Whether a column is called as statuses are, of orders or of others: Order State, Статус заказа, 订单状态."""
    text = "".join(words(column))
    is_whole = not _NAMES.isdisjoint(words(column)[:1] + words(column)[-1:]) or text in _NAMES
    return is_whole or plain(column).endswith(_ENDS) or _NAME_INSIDE.search(_normal(column)) is not None


def is_of_others(column: str) -> bool:
    """Whether the name of a column of statuses says that they are of users, coupons or the like."""
    name = plain(column)
    return any(name.removesuffix(end).endswith(_NOT_OF_ORDERS) for end in _ENDS if name.endswith(end))


def void_statuses(kinds: Collection[str]) -> list[str]:
    """The statuses of orders that came to nothing, or are none; among them Magento's closed, beside complete."""
    names = {plain(kind) for kind in kinds}
    closed = {"closed"} if {"closed", "complete"} <= names else set()
    return [kind for kind in kinds if _is_no_order(kind) or plain(kind) in closed]


def has_statuses(kinds: Collection[str]) -> bool:
    """Whether some values are statuses of orders that were carried out, and some of others, by all of their words."""
    found = [set(words(kind)) - _OF_STATUS for kind in kinds]
    are_void = [is_void(kind) or (bool(rest) and rest <= _NO_ORDERS) for kind, rest in zip(kinds, found, strict=True)]
    return any(are_void) and any(rest and rest <= _FULFILLED for rest in found)


def unknown_statuses(column: str, kinds: Collection[str]) -> list[str]:
    """The statuses that are not understood; none in a column that may be of something else, if none is."""
    void = void_statuses(kinds)
    unknown = [kind for kind in kinds if kind not in void and not _is_kept(kind)]
    is_ambiguous = not _AMBIGUOUS.isdisjoint(words(column)) and "order" not in words(column)
    return [] if is_ambiguous and len(unknown) == len(kinds) else unknown


def _is_no_order(kind: str) -> bool:
    return is_void(kind) or not _NO_ORDERS.isdisjoint(words(kind))


def _is_kept(kind: str) -> bool:
    found = set(words(kind))
    return (bool(found) and found <= _KEPT) or _KEPT_INSIDE.search(_normal(kind)) is not None


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKD", text)
