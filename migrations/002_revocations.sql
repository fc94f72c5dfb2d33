-- Up Migration

-- Access that was taken back: a user's, everybody's to a document, or a user's to a document.
create table indelible.revocations (
  document text collate "C",
  "user" text collate "C",
  revoked_at timestamptz not null,
  check (document is not null or "user" is not null),
  unique nulls not distinct (document, "user")
);
