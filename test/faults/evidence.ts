import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Database } from '../../server/storage/database.ts';
import type { Ledger } from './ledger.ts';
import { scaled } from './run.ts';

/**
 * Keeps what says how an edit was lost in the long run, since the database is gone when the test has ended: what is stored of a
 * document, and every frame of it that was acknowledged. Prints where.
 */
export async function keepEvidence(
  database: Database,
  document: string,
  ledger: Ledger,
  lost: readonly string[],
): Promise<void> {
  if (scaled(0, 1) === 0) return;
  const { rows } = await database.queries.query(
    `select u.id, u.author, u.created_at, u.quarantined, encode(u.update, 'base64') as update
       from indelible.updates u join indelible.documents d on d.id = u.document where d.name = $1 order by u.id`,
    [document],
  );
  const { rows: snapshots } = await database.queries.query(
    `select s.created_at, encode(s.state, 'base64') as state
       from indelible.snapshots s join indelible.documents d on d.id = s.document where d.name = $1`,
    [document],
  );
  const frames = ledger
    .framesOf(document)
    .map(({ by, update }) => ({ by, update: Buffer.from(update).toString('base64') }));
  const path = join(mkdtempSync(join(tmpdir(), 'indelible-lost-')), 'evidence.json');
  writeFileSync(path, JSON.stringify({ document, lost, snapshots, rows, frames }));
  process.stdout.write(`lost in ${document}: what is left is in ${path}\n`);
}
