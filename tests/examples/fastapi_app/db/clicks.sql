CREATE TABLE click (
    at DateTime DEFAULT now(),
    name String
) ENGINE = MergeTree ORDER BY (name, at);

CREATE TABLE clicks_by_day (
    day Date,
    name String,
    clicks UInt64
) ENGINE = SummingMergeTree ORDER BY (name, day);

CREATE MATERIALIZED VIEW click_to_day TO clicks_by_day AS
SELECT toDate(at) AS day, name, count() AS clicks FROM click GROUP BY day, name;
