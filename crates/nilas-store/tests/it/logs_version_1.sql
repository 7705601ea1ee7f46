CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    retention_days INTEGER,
    stored_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    first_event_ms INTEGER,
    last_event_ms INTEGER,
    last_ingestion_ms INTEGER,
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (group_id, name)
);
CREATE INDEX streams_by_event ON streams (group_id, coalesce(last_event_ms, 0), name);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    ingestion_ms INTEGER NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX events_by_group ON events (group_id, timestamp_ms);
CREATE INDEX events_by_stream ON events (stream_id, timestamp_ms);
CREATE TABLE garbage (stream_id INTEGER PRIMARY KEY);
CREATE TABLE event_id (newest INTEGER NOT NULL);
INSERT INTO event_id (newest) VALUES (3);
INSERT INTO groups (name, created_ms, stored_bytes) VALUES ('000000000000/us-east-1//aws/lambda/f', 1, 90);
INSERT INTO streams (group_id, name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, stored_bytes)
VALUES (1, 'a', 1, 10, 30, 31, 90);
INSERT INTO events VALUES (1, 1, 1, 10, 31, 'first'), (2, 1, 1, 20, 31, 'second
'), (3, 1, 1, 30, 31, '');
