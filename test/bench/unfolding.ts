import { checksumOf } from '../../server/storage/checksum.ts';
import { insertRows, openStorage } from '../helpers/storage.ts';
import { contentOf, type DocumentKind } from './documents.ts';

/**
 * Puts the one document of a database of ours back to what it was before it was folded: the first of its updates is the snapshot, and
 * each later one a row. (Sent, many would be one row; and who leaves has them folded.)
 */
export async function unfold(databaseUrl: string, kind: DocumentKind): Promise<void> {
  const database = await openStorage({ databaseUrl });
  const [first, ...tail] = contentOf(kind).updates;
  if (first === undefined) throw new Error(`there is nothing in a document of the kind ${kind}`);
  const { rows } = await database.queries.query<{ id: string; name: string }>(
    'select id, name from indelible.documents',
  );
  const [document] = rows;
  if (document === undefined || rows.length > 1) throw new Error(`there are ${rows.length} documents`);
  await database.queries.query('delete from indelible.updates');
  await database.queries.query('delete from indelible.snapshots');
  await database.queries.query(
    'insert into indelible.snapshots (document, checksum, state) values ($1, $2, $3)',
    [document.id, checksumOf(first), first],
  );
  await insertRows(database, document.name, tail);
  await database.close();
}
