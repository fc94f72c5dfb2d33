-- Up Migration

-- When the last edit was made that a snapshot holds: its row is gone. Null where an older server has written the snapshot.
alter table indelible.snapshots add column last_edit_at timestamptz;
