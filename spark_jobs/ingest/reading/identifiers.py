"""Identifiers of products: the GTIN in one form, and the names that shops give their columns."""

import unicodedata
from collections.abc import Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

# GTIN-8, GTIN-12 (UPC), GTIN-13 (EAN, ISBN) and GTIN-14: all of them one number of 14 digits, whose
# last one is the check digit (GS1 General Specifications, 7.9).
_DIGITS = 14
_LENGTHS = (8, 12, 13, 14)
# Written where there is no GTIN: one digit repeated, but for the check digit, and digits that are
# counted up, leading zeros apart.
_REPEATED = r"^0*(\d)\1{6,}\d?$"
_COUNTED_UP = r"^0*(12345670|1234567890\d*)$"

# Names of columns without case, accents and punctuation, the most particular first.
_NAMES: Mapping[str, str] = {
    "gtin": "gtin gtin14 gtin13 gtin12 gtin8 globaltradeitemnumber ean ean13 ean8 eancode "
    "eannummer eanupc codeean codigoean codiceean upc upca upccode barcode barcodes strichcode "
    "codebarre codebarres codigodebarras codicebarre codiceabarre streepjescode "
    "kodkreskowy jan isbn13 isbn",
    "mpn": "mpn manufacturerpartnumber mfrpartnumber mfgpartnumber manufacturernumber "
    "manufacturersku partnumber partno herstellernummer herstellernr herstellerartikelnummer "
    "herstellerartikelnr herstellerteilenummer modelnumber modelno "
    "modellnummer referencefabricant reffabricant referencefabriquant codigofabricante "
    "referenciafabricante codiceproduttore codicemodello fabrikantnummer fabrikantcode "
    "numerproducenta kodproducenta",
    "sku": "sku merchantsku sellersku itemsku articlenumber artikelnummer artikelnr artnr "
    "bestellnummer itemnumber stockcode productcode referencearticle codearticle codigoarticulo "
    "codicearticolo",
}
_ACCENTS = ("áàâäãéèêëíìîïóòôöõúùûüçñ", "aaaaaeeeeiiiiooooouuuucn")
IDENTIFIER_NAMES: Mapping[str, Sequence[str]] = {
    column: tuple(names.split()) for column, names in _NAMES.items()
}


def standard_gtin(text: Column) -> Column:
    """Return a GTIN as 14 digits; null where the text is none, or stands for "there is none".

    Blanks and hyphens between digits do not count, nor does the ``.0`` of a number that a
    spreadsheet or pandas has written.
    """
    plain = F.regexp_replace(F.regexp_replace(text, r"(?U)[\s-]", ""), r"\.0+$", "")
    digits = F.lpad(plain, _DIGITS, "0")
    is_placeholder = plain.rlike(_REPEATED) | plain.rlike(_COUNTED_UP)
    is_gtin = plain.rlike(r"^\d+$") & F.length(plain).isin(*_LENGTHS) & _has_check_digit(digits)
    return F.when(is_gtin & ~is_placeholder, digits)


def plain_name(name: str) -> str:
    """Return a name without case, accents and punctuation: ``Réf. fabricant`` as reffabricant."""
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in letters if letter.isalnum())


def named_identifier(attributes: Column, column: str) -> Column:
    """Return the value of the attribute that is an identifier by its name; null without one."""
    names = IDENTIFIER_NAMES[column]

    def is_meant(entry: Column) -> Column:
        name = F.translate(F.lower(entry["key"]), *_ACCENTS)
        plain = F.regexp_replace(name, r"[^\p{L}\p{N}]", "")
        return plain.isin(*names) & (F.trim(entry["value"]) != "")

    return F.get(F.filter(F.map_entries(attributes), is_meant), F.lit(0))["value"]


def _has_check_digit(digits: Column) -> Column:
    def digit(place: int) -> Column:
        return F.substring(digits, place, 1).try_cast("int")

    weighted = [digit(place) * (3 if place % 2 else 1) for place in range(1, _DIGITS)]
    total = sum(weighted[1:], weighted[0])
    return (total + digit(_DIGITS)) % 10 == 0
