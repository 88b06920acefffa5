"""All streaming views, one a source topic."""

from __future__ import annotations

from contracts.settings import Settings
from contracts.windows import StoreCalendars
from streams.sales import SalesKernel
from streams.standing import price_kernel, stock_kernel
from streams.views import Kernel


def kernels(settings: Settings) -> tuple[Kernel, ...]:
    """The kernel of each view, with the settings' zones and lateness."""
    lateness = settings.allowed_lateness_ms
    calendars = StoreCalendars(settings.time_zone, settings.store_time_zones)
    return SalesKernel(calendars, lateness), stock_kernel(calendars, lateness), price_kernel(lateness)
