"""Names of events in several languages mean what they say; others are unknown instead of ignored."""

import pytest

from tierrec_core.sources.schema_inference.event_names import canonical_event, charge_lines

MEANING = {
    "view": """View Item Page,Product Page Viewed,PDP view,View Product,product_viewed,$pageview,Angesehen,ansehen,
        vista,vue,view_item,ecommerceView,watched,played""",
    "cart": """Added to Bag,AddToCart,addtocart,add_to_basket,in warenkorb gelegt,In den Warenkorb,
        añadir al carrito,product_added,Ajouté au panier,dodano do koszyka,cart""",
    "favourite": "Merkzettel,Add to Wishlist,product_added_to_wishlist,fav",
    "purchase": "Order Placed,order_paid,Gekauft,kaufen,compra,achat,zakup,köp,Checkout Completed,ordered_product,Buy,"
    "ecommerceOrder,transaction_item",
    "ignore": "remove_from_cart,begin_checkout,Session Start,refund,Cart Viewed,$autocapture",
    None: "Payment,order_updated,Order Viewed,size guide viewed,3,started",
}
NAMES = [(name.strip(), event) for event, names in MEANING.items() for name in names.split(",")]


@pytest.mark.parametrize(("name", "event"), NAMES, ids=[name for name, _ in NAMES])
def test_a_name_means_what_its_words_say(name, event):
    assert canonical_event(name) == event


KINDS = {
    "product_type": (["Nail Tips", "Versandtaschen", "Shoes"], []),
    "item_type": (["Charge cables", "Delivery boxes", "Gift card"], []),
    "article kind": (["Fee", "Shoes"], []),
    "online_type": (["shipping", "store"], []),
    "type": (["item", "Charge cables", "shipping tax", "Versandkosten"], ["shipping tax", "Versandkosten"]),
    "Position type": (["Shoes", "Frais de port"], ["Frais de port"]),
}


@pytest.mark.parametrize("column", KINDS)
def test_lines_of_no_product_are_told_from_kinds_of_products(column):
    kinds, charges = KINDS[column]
    assert charge_lines(column, kinds) == charges
