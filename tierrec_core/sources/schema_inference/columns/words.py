"""The words of column names in some twenty languages, and the names that each role's columns have in English."""

# English words with those that mean the same elsewhere, without accents: Nr zamówienia is an order id.
TRANSLATIONS = {
    "customer": """kunde kunden kundin klant klanten client clients cliente clientes klient klienta klienci
        zakaznik zakaznika zakaznici kund asiakas asiakkaan vasarlo ugyfel vevo musteri pelanggan acheteur
        kaufer kaeufer koper comprador acquirente kopare kjoper kober ostaja kupujacy kupujici debitor debiteur
        deudor cumparator alici клиент покупатель клієнт покупець заказчик πελατης 顧客 お客様 得意先 購入者
        客户 客戶 买家 買家 고객 구매자 לקוח عميل זבון kupac kupca stranka narocnik 注文者 ordere auftraggeber
        контрагент купувач khach ลูกค้า""",
    "member": "mitglied membre miembro socio membro czlonek medlem jasen uye 会員 会员 會員 회원",
    "user": """utilisateur usuario utente benutzer nutzer gebruiker uzytkownik uzivatel anvandare bruger bruker
        kayttaja felhasznalo utilizator kullanici пользователь користувач χρηστης ユーザー ユーザ 用户 用戶
        사용자 משתמש مستخدم""",
    "product": """produkt produkte produkts produktu producten producto productos produto produtos produit
        produits prodotto prodotti artikel artikels artikelen articulo articulos articolo articoli artigo
        artigos towar towaru towary vyrobek vyrobku zbozi tovar tovaru vara varor vare varer tuote tuotteen
        termek cikk produs produse urun mercadoria mercancia marchandise produk barang ware waren material matnr
        товар артикул продукт виріб προιον ειδος 商品 製品 品番 产品 產品 货品 상품 제품 품목 מוצר פריט منتج
        artikla artikal artikel izdelek proizvod предмет продукта номенклатура sanpham สินค้า""",
    "listing": "publicacion publicacao anuncio angebot aanbieding oferta inserat",
    "order": """bestellung bestell bestel bestelling auftrag auftrags commande pedido pedidos ordine ordini
        zamowienie zamowienia objednavka objednavky bestallning bestallnings ordre tilaus tilauksen rendeles
        comanda siparis encomenda pesanan заказ замовлення παραγγελια 注文 受注 订单 訂單 주문 הזמנה طلب
        narudzba narudzbe narocilo porudzbina поръчка donhang คำสั่งซื้อ""",
    "invoice": """rechnung rechnungs facture factuur factura fattura fatura faktura faktury faktur fakturanummer
        lasku szamla счет рахунок τιμολογιο 請求 请求 发票 發票 계산서 חשבונית فاتورة vbeln""",
    "receipt": """bon beleg kassenbon quittung ticket recu paragon scontrino kvitto kvittering recibo fis чек
        レシート 伝票 영수증""",
    "document": "dokument documento doc doklad bizonylat asiakirja документ piece",
    "sale": """venta ventas vente ventes vendita vendite venda vendas verkauf verkoop sprzedaz prodej salg
        myynti satis продажа""",
    "session": "sitzung sesja relace sessio sesion sessao sessione сессия 세션 セッション 会话",
    "id": """identifier no nr num number numero numer cislo nummer numeron numara szam kod code codigo codice
        symbol cod kood koodi kodu key номер код κωδικος αριθμος 番号 コード 编号 編號 编码 代码 號碼 번호 코드
        מספר קוד رقم رمز broj sifra stevilka หมายเลข รหัส""",
    "sku": "מקט",
    "barcode": "barkod strichcode eancode ברקוד باركود 条形码 条码 바코드 バーコード",
    "stock": "stok stoku",
    "reference": "ref referenz referencia riferimento referentie referencja referens referans",
    "name": """nom nome nombre naam nazwa nazev nazov namn navn nimi nev nume adi isim название наименование
        назва имя ονομα 名 名称 名前 品名 이름 명 שם اسم bezeichnung benennung libelle designation denominacion
        denominacao denominazione omschrijving benamning nimike megnevezes denumire nama naziv ime adlari ชื่อ""",
    "description": """beschreibung descripcion descricao descrizione opis popis beskrivning beskrivelse kuvaus
        leiras descriere aciklama описание опис περιγραφη 説明 描述 설명 תיאור وصف""",
    "title": "titel titre titulo titolo tytul tittel otsikko cim titlu baslik заголовок タイトル 标题 제목 כותרת",
    "quantity": """qty qte qtd qtde quantite quant cantidad cantidades cant quantidade quantita qta menge anzahl
        stuck stueck stk unidades unites unidade aantal hoeveelheid ilosc sztuk szt mnozstvi pocet antal mangd
        antall maara kpl mennyiseg darab db cantitate adet miktar kuantitas jumlah количество кол колво
        кількість ποσοτητα 数量 個数 点数 件数 수량 כמות كمية kolicina kolicine stuks pieces soluong จำนวน""",
    "unit": """einzel unitario unitaria unitaire unita jednostkowa jednotkova einheit enhet yksikko egyseg
        unitar birim""",
    "price": """pu preis einzelpreis stuckpreis stueckpreis stuksprijs precio prix preco prezzo prijs cena ceny
        pris hinta ar pret fiyat fiyati harga цена ціна τιμη 価格 単価 价格 價格 单价 單價 가격 단가 מחיר سعر
        cijena stukprijs apris vk ราคา""",
    "value": """wert valeur valor valore waarde wartosc hodnota varde verdi arvo ertek valoare deger стоимость
        вартість αξια""",
    "amount": """betrag montant importe importo bedrag kwota castka belopp belop belob summa suma sum osszeg
        tutar сумма сума ποσο 金額 金额 금액 סכום مبلغ iznos znesek""",
    "total": """gesamt summe totale totaal totaux razem celkem spolu totalt yhteensa osszesen toplam итого всего
        συνολο 合計 総額 小計 总计 总额 合计 總計 합계 총액 סהכ مجموع اجمالي""",
    "revenue": """umsatz erlos erloes ingresos ingreso receita faturamento ricavi omzet przychod obrat trzby
        omsattning omsetning liikevaihto bevetel venit ciro выручка εσοδα 売上 营业额 销售额 매출""",
    "currency": """wahrung waehrung devise divisa moneda moeda valuta waluta mena penznem валюта νομισμα 通貨
        货币 幣別 통화 מטבע عملة""",
    "date": """datum fecha data dato paiva paivamaara datums kelt tarih tanggal дата ημερομηνια 日付 日期 날짜
        일자 תאריך تاريخ วันที่""",
    "datetime": "日時 时间 時間 일시 zeitpunkt zeitstempel",
    "category": """kategorie warengruppe categorie categoria kategoria kategori luokka категория категорія
        κατηγορια カテゴリ カテゴリー 分类 類別 분류 카테고리 קטגוריה فئة rayon""",
    "brand": "marke marque marca merk marka znacka znaczka marke merkki бренд марка μαρκα ブランド 品牌 브랜드 מותג",
    "manufacturer": """hersteller fabricant fabricante fabrikant producent vyrobce tillverkare valmistaja gyarto
        uretici""",
    "rating": """ratings bewertung calificacion valoracion avaliacao valutazione beoordeling ocena hodnoceni
        betyg arvio ertekeles puan оценка рейтинг βαθμολογια 評価 评分 評分 평점 דירוג تقييم""",
    "event": """ereignis evenement evento gebeurtenis zdarzenie udalost handelse hendelse tapahtuma esemeny olay
        событие подія イベント 事件 이벤트 אירוע حدث vorgang""",
    "action": "aktion accion acao azione actie akcja akce eylem действие 行動 行为 动作 행동",
    "channel": "kanal canal canale kanaal канал",
    "": """of the de do da du des della di del la le el los van voor for per za brutto netto gross net ttc ht
        hors inkl incl 管理""",
}

# Column names of each role, the likeliest first.
SYNONYMS = {
    "user": """user_id user customer_id customer uid cust_id visitor_id visitor household_id household member_id
        client_id buyer_id shopper_id anonymous_id account_id reviewer_id profile_id client member user_name
        customer_email email e_mail user_session_id buyer buyer_name buyer_username user_pseudo_id amplitude_id
        distinct_id subscriber_id contact_id partner_id device_id cookie_id cpf_cnpj cust sell_to_customer_id
        sold_to_party sold_to ship_to_party kunnr kunag cust_account household_key""",
    "item": """item_id item product_id parent_asin asin sku product_reference item_reference article_id article
        product stock_id stock_code goods_id movie_id song_id track_id book_id isbn content_id offer_id
        listing_id listing ean gtin upc barcode plu variant_sku variant_id product_sku seller_sku default_code
        art_id artnr matnr custom_label""",
    "event": """event event_type eventtype event_name action action_type behavior behaviour behavior_type
        interaction interaction_type activity vorgang ereignis aktion type""",
    "timestamp": """timestamp time event_time event_timestamp datetime date_time ts transaction_timestamp
        created_at created occurred_at ordered_at ordered placed_at order_time order_datetime unix_time
        unix_review_time purchase_date order_date invoice_date review_time t_dat date day zeitstempel zeit
        zeitpunkt datum bestelldatum uhrzeit bestellzeit clock hour heure hora fkdat budat""",
    "time_of_day": "ora tijd tid godzina cas čas",
    "value": """value sales_value amount revenue net_sales gross_sales sales total total_price total_value
        total_amount line_total paid rating stars overall score discounted_price
        reduced_price final_price sale_price selling_price paid_price price unit_price unit_value unit_amount
        item_cost sold_for netwr line_subtotal subtotal""",
    "currency": "currency currency_code mena waers waerk",
    "quantity": "quantity qty units pieces num_items quantity_ordered product_quantity item_quantity fkimg kwmeng",
    "session": """session_id session user_session sessionid basket_id basket visit_id order_id order
        transaction_id invoice_id invoice receipt_id bon_nr order_reference sale_id sales_id sale_order_id
        sales_document sales_document_id document_id increment_id vbeln reference""",
    "channel": "channel sales_channel sales_channel_id store_type",
    "split": "split subset",
    "title": """title name item_name product_name description product_title titel artikelname
        product_description item_title arktx maktx""",
    "category": """category category_code category_name product_category product_category_name category_id
        department product_type product_group_name genre genres matkl""",
    "brand": "brand brand_name manufacturer maker vendor",
    "price": "price unit_price list_price",
}
