"""The lake: raw messages to bronze, checked events to silver, days and features to gold, on Spark and Apache Iceberg."""
