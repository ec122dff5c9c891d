"""Middleware for every request, as plain ASGI, one class a file."""

from tradingagents_http.middleware.brief_start_failure import BriefStartFailure
from tradingagents_http.middleware.close_after_upgrade import CloseAfterUpgrade
from tradingagents_http.middleware.gzip import Gzip
from tradingagents_http.middleware.head_as_get import HeadAsGet
from tradingagents_http.middleware.head_limit import HeadLimit
from tradingagents_http.middleware.json_cors import JsonCors
from tradingagents_http.middleware.last_resort import LastResort
from tradingagents_http.middleware.request_ids import RequestIds
from tradingagents_http.middleware.safe_headers import SafeHeaders
from tradingagents_http.middleware.stripped_prefix import StrippedPrefix

__all__ = [
    "BriefStartFailure",
    "CloseAfterUpgrade",
    "Gzip",
    "HeadAsGet",
    "HeadLimit",
    "JsonCors",
    "LastResort",
    "RequestIds",
    "SafeHeaders",
    "StrippedPrefix",
]
