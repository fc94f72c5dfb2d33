import * as Y from 'yjs';
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
  checkUpdate(update, limits);
  Y.applyUpdate(new Y.Doc(), update);
  return update;
}
