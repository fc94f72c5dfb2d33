import { checksumOf } from '../../server/storage/checksum.ts';
import { insertRows, openStorage } from '../helpers/storage.ts';
import { contentOf, type DocumentKind } from './documents.ts';

/**
 * Puts a document of ours back to what it was before it was folded: the first of its updates is the snapshot, and each later one a row.
 * (Sent, many would be one row; and who leaves has them folded.)
 */
export async function unfold(databaseUrl: string, name: string, kind: DocumentKind): Promise<void> {
  const database = await openStorage({ databaseUrl });
  const { queries } = database;
  const [first, ...tail] = contentOf(kind).updates;
  const { rows } = await queries.query<{ id: string }>('select id from indelible.documents where name = $1', [
    name,
  ]);
  const [document] = rows;
  if (first === undefined || document === undefined) throw new Error(`there is nothing in ${name}`);
  await queries.query('delete from indelible.updates where document = $1', [document.id]);
  await queries.query('delete from indelible.snapshots where document = $1', [document.id]);
  await queries.query('insert into indelible.snapshots (document, checksum, state) values ($1, $2, $3)', [
    document.id,
    checksumOf(first),
    first,
  ]);
  await insertRows(database, name, tail);
  await database.close();
}
