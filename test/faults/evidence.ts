import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as Y from 'yjs';
import type { Database } from '../../server/storage/database.ts';
import type { Ledger } from './ledger.ts';
import { scaled } from './run.ts';

/** What a copy of a document lacks of what was acknowledged. */
interface Loss {
  document: string;
  /** Whose copy it is. */
  copy: string;
  doc: Y.Doc | null;
  lost: readonly string[];
}

/**
 * Keeps what says how an edit was lost in the long run, if one was, since the database is gone when the test has ended: the copy
 * that lacks it, what is stored of the document, and every frame of it that was acknowledged. Prints where.
 */
export async function keepEvidence(
  { queries }: Database,
  ledger: Ledger,
  { document, copy, doc, lost }: Loss,
): Promise<void> {
  if (lost.length === 0 || scaled(0, 1) === 0) return;
  const { rows } = await queries.query(
    `select u.id, u.author, u.created_at, u.quarantined, encode(u.update, 'base64') as update
       from indelible.updates u join indelible.documents d on d.id = u.document where d.name = $1 order by u.id`,
    [document],
  );
  const { rows: snapshots } = await queries.query(
    `select s.created_at, encode(s.state, 'base64') as state
       from indelible.snapshots s join indelible.documents d on d.id = s.document where d.name = $1`,
    [document],
  );
  const state = doc === null ? null : base64(Y.encodeStateAsUpdate(doc));
  const frames = ledger.framesOf(document).map(({ by, update }) => ({ by, update: base64(update) }));
  const path = join(mkdtempSync(join(tmpdir(), 'indelible-lost-')), 'evidence.json');
  writeFileSync(path, JSON.stringify({ document, copy, lost, state, snapshots, rows, frames }));
  process.stdout.write(`lost in ${document}, as ${copy} has it: what is left is in ${path}\n`);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
