"""Forecasts of any panel: a folder of store × product × period rows, daily or weekly."""
