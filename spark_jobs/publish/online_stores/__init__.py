"""Online stores: what is done to one beyond Feast's reads and writes, store by store."""

from spark_jobs.publish.online_stores.adapters import (
    OnlineStoreUnavailable,
    online_store,
    reporting_unavailable,
)
from spark_jobs.publish.online_stores.protocol import OnlineStore, Ping
from spark_jobs.publish.online_stores.servers import NoServerNamed

__all__ = [
    "NoServerNamed",
    "OnlineStore",
    "OnlineStoreUnavailable",
    "Ping",
    "online_store",
    "reporting_unavailable",
]
