import * as Y from 'yjs';
import { IndelibleError } from '../errors.ts';
import { isTooDeep } from './nesting.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';

/** First content of a document: a Y.Doc, or a Yjs update. */
export type FirstContent = Y.Doc | Uint8Array;

/** First content of a document that is not stored yet: a Y.Doc, an update, or nothing. */
export type OnLoad = (name: string) => Promise<FirstContent | null | undefined>;

/**
 * As one update. What cannot be applied would be stored, set aside by the next load, and leave a document blank for good.
 * @throws {@link IndelibleError} `bad_update`; whatever Yjs throws when it applies it
 */
export function firstUpdateOf(content: FirstContent, limits: UpdateLimits): Uint8Array {
  const update = content instanceof Uint8Array ? content : Y.encodeStateAsUpdate(content);
  const { hasTypes } = checkUpdate(update, limits);
  const doc = new Y.Doc();
  if (hasTypes && isTooDeep(doc, Y.decodeUpdate(update).structs))
    throw new IndelibleError('bad_update', 'its types lie too deep within one another');
  Y.applyUpdate(doc, update);
  return update;
}
