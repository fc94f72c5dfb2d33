-- Up Migration

-- Deleted documents: their names open nothing until one is restored, or created anew. What is stored of them stays under their id.
-- `document` is null where nothing is left to restore: it was erased, or goes by another name now.
create table indelible.tombstones (
  id bigint generated always as identity primary key,
  document bigint unique,
  name text collate "C" not null,
  created_at timestamptz,
  deleted_at timestamptz not null
);
create index tombstones_name on indelible.tombstones (name);
create index tombstones_deleted_at on indelible.tombstones (deleted_at);

-- What requests with an idempotency key were answered, written with what they have changed. `attempt` tells one that is committed
-- twice, since it was not known whether it was, from another one with the same key.
create table indelible.requests (
  "user" text collate "C" not null,
  key text collate "C" not null,
  attempt text not null,
  fingerprint text not null,
  answer jsonb not null,
  created_at timestamptz not null default now(),
  primary key ("user", key)
);
create index requests_created_at on indelible.requests (created_at);
