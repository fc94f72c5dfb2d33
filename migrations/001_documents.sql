-- Up Migration

-- The oldest server version that may use this schema; a later migration raises it when it breaks older servers.
create table indelible.compatibility (
  only_row boolean primary key default true check (only_row),
  oldest_server text not null
);
insert into indelible.compatibility (oldest_server) values ('0.1.0');

create table indelible.documents (
  id bigint generated always as identity primary key,
  name text collate "C" not null unique,
  created_at timestamptz not null default now()
);

-- The update log. No foreign key to documents: its check would lock the document's row for every edit, and folding
-- holds that row. The primary key starts with the document, so that it is the only index that an edit writes.
create table indelible.updates (
  document bigint not null,
  id bigint generated always as identity,
  author text,
  created_at timestamptz not null,
  checksum integer not null,
  quarantined text,
  update bytea not null,
  primary key (document, id)
);

create table indelible.snapshots (
  document bigint primary key,
  created_at timestamptz not null default now(),
  checksum integer not null,
  state bytea not null
);
