"""Names that shops give columns and actions, in several languages; see ``plain_name``.

They are guesses to be looked at: only ``feed sniff`` makes use of them.
"""

from collections.abc import Mapping, Sequence

from spark_jobs.ingest.columns import Kind
from spark_jobs.ingest.reading.identifiers import IDENTIFIER_NAMES

_ITEMS: Mapping[str, str] = {
    "domain": "domain itemtype contenttype",
    "item_id": "itemid productid offerid articleid artikelid produktid pageid videoid listingid "
    "roomid sliceid uniqid asin handle id artikelnummer artikelnr artnr stockcode sku "
    "articlenumber url link",
    "title": "title titel name productname producttitle produktname produkttitel "
    "produktbezeichnung artikelbezeichnung artikelname bezeichnung itemname nom titre nomproduit "
    "libelle nombre titulo nome titolo naam nazwa caption headline",
    "text": "text description productdescription beschreibung produktbeschreibung langtext "
    "bodyhtml body details descripcion descrizione omschrijving opis transcript asr",
    "brand": "brand brandname marke hersteller manufacturer marque fabricant marca merk producent "
    "vendor",
    "category": "category categoryname categorypath producttype producttypepath kategorie "
    "warengruppe categorie categoria kategoria googleproductcategory breadcrumb breadcrumbs",
    "price": "price saleprice unitprice listprice priceamount preis verkaufspreis vkpreis "
    "preisbrutto prix precio prezzo prijs cena",
    "images": "images image imageurl imageurls imagelink imagelinks imagesrc imagepath picture "
    "pictures photo photos bild bilder bildurl bildurls bildlink foto fotos imagen imagenes "
    "immagine immagini afbeelding frames video videourl videos mp4 media mediaurl thumbnail",
    "source": "source merchant merchantname merchantid seller shop store channel haendler "
    "verkaeufer vendeur",
    "linked_item_ids": "linkeditemids linkedproducts productids relateditemids",
    "is_deleted": "isdeleted deleted removed geloescht supprime",
}
_INTERACTIONS: Mapping[str, str] = {
    "user_id": "userid user customerid customer visitorid visitor clientid memberid accountid uid "
    "kundennr kundennummer kunde benutzerid client usuario who",
    "domain": "domain itemtype contenttype",
    "item_id": "itemid productid articleid artikelid produktid artikelnummer artikelnr stockcode "
    "sku item product article artikel pageid videoid contentid parentasin asin",
    "action": "action event eventtype eventname activity interaction behavior behaviour aktion "
    "ereignis type",
    "occurred_at": "occurredat timestamp ts time eventtime eventtimestamp datetime date createdat "
    "invoicedate orderdate zeit zeitpunkt datum horodatage fecha data unixtime",
    "value": "value quantity qty menge watchseconds watchtime dwelltime duration rating amount",
}
COLUMN_NAMES: Mapping[Kind, Mapping[str, Sequence[str]]] = {
    "items": {
        **{column: names.split() for column, names in _ITEMS.items()},
        **IDENTIFIER_NAMES,
    },
    "interactions": {column: names.split() for column, names in _INTERACTIONS.items()},
}

_ACTIONS: Mapping[str, str] = {
    "view": "view views pageview productview itemview viewitem detail detailview viewproduct watch "
    "play impression visit browse ansicht aufruf vue",
    "click": "click clicks clickout select selectitem tap klick clic",
    "cart": "cart addtocart addcart addtobasket basket warenkorb panier",
    "purchase": "purchase purchases buy bought order ordered transaction checkout sale conversion "
    "kauf gekauft bestellung achat compra",
    "like": "like likes favorite favourite fav wishlist addtowishlist merkliste heart upvote",
    "share": "share shared teilen geteilt forward",
}
ACTION_NAMES: Mapping[str, str] = {
    name: action for action, names in _ACTIONS.items() for name in names.split()
}
DOMAIN_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("page", "product", "item", "article", "listing", "produkt"), "page"),
    **dict.fromkeys(("video", "shortvideo", "clip", "reel"), "video"),
    **dict.fromkeys(("live", "livestream", "stream", "room"), "live"),
}
