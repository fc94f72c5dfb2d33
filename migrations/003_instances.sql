-- Up Migration

-- The instances that share this database through Redis: each says now and then that it is there, so that the others notice whom
-- they cannot hear. What is here may be lost, so it is not logged.
create unlogged table indelible.instances (
  name text collate "C" primary key,
  seen_at timestamptz not null
);
